/** What runs small programs on a machine: a service that listens, and somebody who knocks at many doors at once. */
export interface Runtime {
    /** Takes the text of a program, then one argument (JSON). */
    readonly command: readonly string[];
    /** Given `{ name, ports }`: says "ready", then answers every HTTP request with its name and the client's address. */
    readonly listen: string;
    /** Given `{ from, doors: [[address or name, port, family?]], timeoutMs }`: prints `{ from, open: [boolean] }`, one for each door. */
    readonly knock: string;
}

/** For throwaway hosts: they see the Node that runs this program. */
export const nodeRuntime: Runtime = {
    command: [process.execPath, "-e"],
    listen: `
const { createServer } = require("node:http");
const { name, ports } = JSON.parse(process.argv[1]);
const answer = ({ socket }, response) =>
    response.end("This is " + name + " on port " + socket.localPort + ", you are " + peer(socket) + ".\\n");
const peer = ({ remoteAddress }) => remoteAddress.replace(/^::ffff:/, "");
const listen = (port) => new Promise((resolve) => createServer(answer).listen(port, resolve));
Promise.all(ports.map(listen)).then(() => console.log("ready"));
`,
    knock: `
const { connect } = require("node:net");
const { from, doors, timeoutMs } = JSON.parse(process.argv[1]);
const { lookup } = require("node:dns").promises;
// All addresses of a name, as programs try one after the other.
const knock = async ([host, port, family]) => {
    if (family === undefined) return knockAt(host, port);
    const all = await lookup(host, { family, all: true }).catch(() => []);
    return (await Promise.all(all.map(({ address }) => knockAt(address, port)))).includes(true);
};
const knockAt = (host, port) => new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (open) => { socket.destroy(); resolve(open); };
    socket.on("connect", () => end(true)).on("error", () => end(false));
    setTimeout(end, timeoutMs, false).unref();
});
Promise.all(doors.map(knock)).then((open) => console.log(JSON.stringify({ from, open })));
`,
};

/** For other people's hosts: python3 is part of nearly every Linux system. */
export const pythonRuntime: Runtime = {
    command: ["python3", "-c"],
    listen: `
import json, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
service = json.loads(sys.argv[1])
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        port, client = self.server.server_address[1], self.client_address[0]
        text = "This is %s on port %d, you are %s.\\n" % (service["name"], port, client)
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *args):
        pass
servers = [ThreadingHTTPServer(("0.0.0.0", port), Answer) for port in service["ports"]]
for server in servers:
    threading.Thread(target=server.serve_forever).start()
print("ready", flush=True)
`,
    knock: `
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
task = json.loads(sys.argv[1])
families = {4: socket.AF_INET, 6: socket.AF_INET6}
# All addresses of a name, as programs try one after the other.
def knock(door):
    if len(door) == 2:
        return knock_at(door)
    try:
        found = socket.getaddrinfo(door[0], door[1], families[door[2]], socket.SOCK_STREAM)
    except OSError:
        return False
    return any([knock_at(address[:2]) for *_, address in found])
def knock_at(address):
    try:
        socket.create_connection(tuple(address), task["timeoutMs"] / 1000).close()
        return True
    except OSError:
        return False
with ThreadPoolExecutor(len(task["doors"])) as pool:
    print(json.dumps({"from": task["from"], "open": list(pool.map(knock, task["doors"]))}), flush=True)
`,
};

/** A call of one of the programs as a line of sh. */
export function renderCall(runtime: Runtime, program: "listen" | "knock", argument: unknown): string {
    return [...runtime.command, runtime[program], JSON.stringify(argument)].map(quoteWord).join(" ");
}

/** A text as one word of POSIX sh. */
export function quoteWord(text: string): string {
    return `'${text.replaceAll("'", "'\\''")}'`;
}
