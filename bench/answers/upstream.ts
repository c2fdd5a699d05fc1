import type { LabMachine } from "../../lab/index.js";

const many = Array.from({ length: 40 }, (_, i) => `192.0.2.${100 + i} many.example`).join("\n");
/** Records of 200 characters each: a line of the configuration has 1,025 at most. */
const texts = (name: string, count: number) =>
    Array.from({ length: count }, (_, i) => `txt-record=${name},${String(i).padEnd(200, "x")}`).join("\n");

/** The names of the outside: a zone that is nowhere else. */
const configuration = `no-resolv
no-hosts
no-daemon
bind-interfaces
pid-file=
log-queries
log-facility=/run/lab/upstream.log
address=/#/
addn-hosts=/run/lab/upstream.hosts
host-record=www.example,192.0.2.10,2001:db8::10
host-record=four.example,192.0.2.11
host-record=intranet.corp.example,192.0.2.12
host-record=a.b.corp.example,192.0.2.13
cname=alias.example,www.example
mx-host=www.example,mail.example,10
srv-host=_http._tcp.example,www.example,80
${texts("long.example", 4)}
${texts("longer.example", 8)}
${texts("longest.example", 30)}
`;

/** A server of names outside, which is asked for what no box is called. */
export interface Upstream extends AsyncDisposable {
    /** The addresses from which a name has been asked for. */
    askersOf(name: string): Promise<string[]>;
}

export async function startUpstream(machine: LabMachine): Promise<Upstream> {
    const write = (file: string, stdin: string) => machine.exec(`mkdir -p /run/lab; cat >${file}`, { stdin });
    await write("/run/lab/upstream.conf", `${configuration}listen-address=${machine.address}\n`);
    await write("/run/lab/upstream.hosts", `${many}\n`);
    const server = await machine.spawn(["dnsmasq", "-C", "/run/lab/upstream.conf"]);
    await machine.exec(`for i in $(seq 100); do
        dig +tries=1 +time=1 @${machine.address} www.example >/dev/null && exit
        sleep 0.1
    done
    exit 1`);
    return {
        async askersOf(name) {
            const { stdout } = await machine.exec("cat /run/lab/upstream.log");
            return [...stdout.matchAll(/ query\[\w+\] (\S+) from (\S+)/g)].flatMap(([, asked, from = ""]) =>
                asked?.toLowerCase() === name ? [from] : [],
            );
        },
        [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
}
