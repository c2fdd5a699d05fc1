import * as linuxnet from "pulumi-linuxnet";
import { connection, ipv6 } from "./connection";

const host = new linuxnet.Host("host", { connection });
const network = new linuxnet.Network("network", { host, ipv6 });
const web = new linuxnet.Sandbox("web", { host });
const http = new linuxnet.PortMapping("http", { target: web.connect(network), hostPort: 8080, targetPort: 80 });

/** What runs in the sandbox and listens on port 80 answers on this port of the host: `<run> python3 -m http.server 80`. */
export const run = web.exec;
export const port = http.hostPort;
