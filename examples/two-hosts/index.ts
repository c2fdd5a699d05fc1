import * as linuxnet from "pulumi-linuxnet";
import { connections, ipv6 } from "./connection";

const west = new linuxnet.Host("west", { connection: connections.west });
const east = new linuxnet.Host("east", { connection: connections.east });

// One segment over both hosts: each has a range of the subnet, a bridge, and a VXLAN tunnel to the other.
const subnet = ipv6 ? ["10.90.0.0/16", "fd00:90::/48"] : "10.90.0.0/16";
const shared = new linuxnet.OverlayNetwork("shared", { hosts: [west, east], subnet, vni: 90 });

const web = new linuxnet.Sandbox("web", { host: west });
const worker = new linuxnet.Sandbox("worker", { host: east });
const queue = new linuxnet.Sandbox("queue", { host: east });

const webEndpoint = web.connect(shared);
const workerEndpoint = worker.connect(shared);
const queueEndpoint = queue.connect(shared);

// The web server on one host is published there; on the other it finds "queue" by its name, as if it were next door.
new linuxnet.PortMapping("http", { target: webEndpoint, hostPort: 8080, targetPort: 80 });

export const addresses = {
    web: webEndpoint.address,
    worker: workerEndpoint.address,
    queue: queueEndpoint.address,
};
export const namespaces = { web: web.name, worker: worker.name, queue: queue.name };
