import * as linuxnet from "pulumi-linuxnet";
import { connection } from "./connection";

const host = new linuxnet.Host("host", { connection });
const network = new linuxnet.Network("network", { host, subnet: "172.20.0.0/24" });
const web = new linuxnet.Sandbox("web", { host });
const http = new linuxnet.PortMapping("http", { target: web.connect(network), hostPort: 8080, targetPort: 80 });

/** Whatever listens on port 80 in the sandbox answers on port 8080 of the host. */
export const start = web.exec.apply((exec) => `${exec} python3 -m http.server 80`);
export const port = http.hostPort;
