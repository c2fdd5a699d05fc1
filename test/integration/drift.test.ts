import { afterAll, beforeAll, expect, test } from "vitest";
import { startRun } from "../../provider/sessions.js";
import { openStack, type Resource, type Stack } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { ask, inside, serve } from "./traffic.js";

const bed = layTestBed();

/** In the order in which an engine updates them. */
const order = ["host", "front", "back", "web", "db", "other", "webFront", "dbFront", "otherBack"] as const;
const last = ["http", "policy", "tunnel"] as const;
type Name = (typeof order)[number] | (typeof last)[number];

let stack: Stack;
let resources: Record<Name, Resource>;
/** Kernel names and addresses, for commands and expectations. */
const at: Record<string, string> = {};

beforeAll(async () => {
    stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const back = await stack.network("back", { subnet: "172.21.0.0/24", ipRange: "172.21.0.0/25" });
    const web = await stack.join("web", front);
    const db = await stack.join("db", front);
    const otherSandbox = await stack.sandbox("other", { sysctls: { "net.ipv4.ip_default_ttl": "70" } });
    const otherBack = await stack.endpoint("other-back", { sandbox: otherSandbox, network: back });
    const http = await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
    const ingress = [{ action: "allow", from: [web.endpoint] }];
    const policy = await stack.firewallPolicy("db", { target: db.endpoint, ingress });
    const peers = [{ underlayAddress: "198.18.255.254", ipRange: "172.21.0.128/31" }];
    const tunnel = await stack.overlayTunnel("tunnel", { network: back, vni: 7, peers });
    resources = {
        ...{ host: stack.host, front, back, web: web.sandbox, db: db.sandbox, other: otherSandbox },
        ...{ webFront: web.endpoint, dbFront: db.endpoint, otherBack, http, policy, tunnel },
    };
    Object.assign(at, {
        FRONT: front.outs.interfaceName,
        BACK: back.outs.interfaceName,
        WEB: web.sandbox.outs.name,
        DB: db.sandbox.outs.name,
        OTHER: otherSandbox.outs.name,
        web: web.endpoint.outs.hostInterface,
        db: db.endpoint.outs.hostInterface,
        other: otherBack.outs.hostInterface,
        TUNNEL: tunnel.outs.interfaceName,
        mac: web.endpoint.outs.macAddress,
    });
});

afterAll(async () => stack?.destroyAll());

/** The kernel takes the links of a namespace away in its own time, when that has gone (cleanup_net). */
function untilGone(link: string): string {
    return `while ip link show ${link} >/dev/null 2>&1; do sleep 0.02; done`;
}

/** `{FRONT}` and the like, filled in. */
const fill = (text: string) => text.replace(/\{(\w+)\}/g, (_all, name) => at[name] ?? `no ${name}`);

const identityScript = `ip -j link | tr '}' '\\n' | sed -n 's/.*"ifindex":\\([0-9]*\\).*"ifname":"\\([^"]*\\)".*/link \\2 \\1/p'
for n in $(ls /run/netns); do
    i=$(stat -c %i /run/netns/$n)
    echo "netns $n $i"
    ip -n $n -j link | tr '}' '\\n' | sed -n "s/.*\\"ifindex\\":\\([0-9]*\\).*\\"ifname\\":\\"\\([^\\"]*\\)\\".*/inside $n:\\2 $i:\\1/p"
done
for f in inet bridge; do
    nft -a list table $f linuxnet | sed -n -e "s/.*chain \\([a-z_0-9]*\\) {.*/@ \\1/p" -e 's/.*comment "\\(.*\\)" # handle \\([0-9]*\\)/\\2/p' |
        awk -v f=$f '/^@/ { c = $2; h[c] = ""; next } { h[c] = h[c] "," $1 } END { for (c in h) print "chain", f ":" c, h[c] }'
done`;

/** What would change if something were made anew: indexes, inodes, handles. */
async function readIdentities(): Promise<Map<string, string>> {
    const { stdout } = await bed.host.exec(identityScript);
    const rows = stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" "));
    return new Map(rows.map(([kind, name, identity = ""]) => [`${kind} ${name}`, identity]));
}

async function refreshAll(): Promise<Record<string, readonly string[] | "gone">> {
    await startRun();
    const names = [...order, ...last];
    const reports = await Promise.all(names.map((name) => resources[name].refresh()));
    const drifted = names.map((name, i) => [name, reports[i] ?? []] as const).filter(([, { length }]) => length > 0);
    return Object.fromEntries(drifted);
}

/** `pulumi up` after a refresh: exactly what drifted is updated. */
async function repair(drifted: Record<string, unknown>): Promise<void> {
    await startRun();
    for (const name of [...order, ...last])
        expect(await resources[name].update({}), name).toBe(name in drifted ? "update" : "same");
}

async function expectTraffic(): Promise<void> {
    const web = inside(bed.host, resources.web as Resource<"sandbox">);
    const dbAddress = (resources.dbFront as Resource<"endpoint">).outs.address;
    await using _server = await serve(web, "web", "tcp:80");
    expect(await ask(web, `icmp ${dbAddress}`, "icmp 172.20.0.1", `icmp ${bed.client.address}`)).toEqual({
        [`icmp ${dbAddress}`]: "reply",
        "icmp 172.20.0.1": "reply",
        [`icmp ${bed.client.address}`]: "reply",
    });
    const published = `tcp ${bed.host.address}:8080`;
    const forbidden = `tcp ${bed.host.address}:8081`;
    expect(await ask({ machine: bed.client }, published, forbidden)).toEqual({
        [published]: `web to ${bed.client.address}`,
        [forbidden]: "refused",
    });
    // The policy of db lets web in and nobody else; the other network is closed.
    const other = inside(bed.host, resources.other as Resource<"sandbox">);
    expect(await ask(other, `icmp ${dbAddress}`, "icmp 172.21.0.1")).toEqual({
        [`icmp ${dbAddress}`]: "nothing",
        "icmp 172.21.0.1": "reply",
    });
}

interface Damage {
    readonly title: string;
    readonly command: string;
    /** What the refresh says, by resource; a text that ends with "..." is the first of several. */
    readonly drift: Partial<Record<Name, readonly string[]>>;
    /** What is made anew; everything else stays what it is. */
    readonly anew?: readonly string[];
}

const ruleHandle = (chain: string, text: string) =>
    `$(nft -a list chain inet linuxnet ${chain} | grep '${text}' | sed 's/.*# handle //')`;
const otherRules = "has other rules than this version writes";
/** What goes with the interface by which a sandbox asks for names at 127.0.0.11. */
const withoutNames = [
    "route to 127.0.0.11 in table local in {WEB} is missing",
    "sysctl net/ipv4/conf/front/route_localnet in {WEB} is missing",
];
const webLink = "interface {web} (front in {WEB})";

const damages: Damage[] = [
    {
        title: "an element is gone",
        command: "nft delete element inet linuxnet published_any '{ tcp . 8080 }'",
        drift: { http: ["element tcp . 8080 of published_any in table inet linuxnet is missing"] },
    },
    {
        title: "an element leads elsewhere",
        command: `nft delete element inet linuxnet published_any '{ tcp . 8080 }'
            nft add element inet linuxnet published_any '{ tcp . 8080 : 172.20.0.99 . 81 }'`,
        drift: {
            http: [
                "element tcp . 8080 of published_any in table inet linuxnet: value is 172.20.0.99 . 81, not 172.20.0.2 . 80",
            ],
        },
    },
    {
        title: "a rule is gone",
        command: `nft delete rule inet linuxnet forward handle ${ruleHandle("forward", "ct state invalid drop")}`,
        drift: { host: [`nftables: chain forward of table inet linuxnet ${otherRules}`] },
        anew: ["chain inet:forward"],
    },
    {
        title: "a rule is replaced",
        command: `nft replace rule inet linuxnet forward handle ${ruleHandle("forward", "ct state invalid drop")} ct state invalid accept`,
        drift: { host: [`nftables: chain forward of table inet linuxnet ${otherRules}`] },
        anew: ["chain inet:forward"],
    },
    {
        title: "a rule of others is in a chain of ours",
        command: "nft insert rule inet linuxnet input tcp dport 22 accept",
        drift: { host: [`nftables: chain input of table inet linuxnet ${otherRules}`] },
        anew: ["chain inet:input"],
    },
    {
        title: "the only rule of a policy is replaced",
        command: `nft replace rule inet linuxnet in_{db} handle ${ruleHandle("in_{db}", "drop comment")} accept`,
        drift: { dbFront: [`chain in_{db} of table inet linuxnet: ${otherRules}`] },
        anew: ["chain inet:in_{db}"],
    },
    {
        title: "a policy's chain is gone",
        command: `nft delete element inet linuxnet ingress '{ "{FRONT}" . 172.20.0.3 }'
            nft delete element inet linuxnet ingress_from_host '{ 172.20.0.3 }'
            nft flush chain inet linuxnet in_{db}; nft delete chain inet linuxnet in_{db}`,
        drift: {
            dbFront: [
                "chain in_{db} of table inet linuxnet is missing",
                "element {FRONT} . 172.20.0.3 of ingress in table inet linuxnet is missing",
                "element 172.20.0.3 of ingress_from_host in table inet linuxnet is missing",
            ],
        },
        anew: ["chain inet:in_{db}"],
    },
    {
        title: "a chain that all share is gone",
        command: "nft flush chain inet linuxnet guard_loopback; nft delete chain inet linuxnet guard_loopback",
        drift: { host: ["nftables: chain guard_loopback of table inet linuxnet is missing"] },
        anew: ["chain inet:guard_loopback"],
    },
    {
        title: "a chain drops what no rule decides",
        command: "nft 'add chain inet linuxnet output { policy drop; }'",
        drift: {
            host: [
                'nftables: chain output of table inet linuxnet hangs on "filter output 0 drop", not on "filter output 0 accept"',
            ],
        },
        anew: ["chain inet:output"],
    },
    {
        title: "table bridge is gone",
        command: "nft delete table bridge linuxnet",
        drift: {
            host: ["nftables: table bridge linuxnet is missing"],
            ...Object.fromEntries(
                (["web", "db", "other"] as const).map((name) => [
                    name === "other" ? "otherBack" : `${name}Front`,
                    [`element {${name}} of endpoints in table bridge linuxnet is missing`, "..."],
                ]),
            ),
        },
        anew: ["chain bridge:from_endpoint", "chain bridge:to_endpoint"],
    },
    {
        title: "table inet is gone",
        command: "nft delete table inet linuxnet",
        drift: {
            host: ["nftables: table inet linuxnet is missing", "..."],
            front: ["element {FRONT} of networks in table inet linuxnet is missing", "..."],
            back: ["element {BACK} of networks in table inet linuxnet is missing", "..."],
            web: ["element {FRONT} . 172.20.0.2 of resolvers in table inet linuxnet is missing"],
            db: ["element {FRONT} . 172.20.0.3 of resolvers in table inet linuxnet is missing"],
            other: ["element {BACK} . 172.21.0.2 of resolvers in table inet linuxnet is missing"],
            dbFront: ["counter count_{db}_ingress of table inet linuxnet is missing", "..."],
            http: ["element tcp . 8080 of published_any in table inet linuxnet is missing"],
            tunnel: ["element 4789 of tunnel_ports in table inet linuxnet is missing", "..."],
        },
        anew: ["chain inet:*"],
    },
    {
        title: "the whole ruleset is gone",
        command: "nft flush ruleset",
        drift: {
            host: [
                "nftables: table inet linuxnet is missing",
                "nftables: table bridge linuxnet is missing",
                "element eth0 of opened_uplinks in table inet linuxnet is missing",
            ],
            front: ["element {FRONT} of networks in table inet linuxnet is missing", "..."],
            back: ["element {BACK} of networks in table inet linuxnet is missing", "..."],
            web: ["element {FRONT} . 172.20.0.2 of resolvers in table inet linuxnet is missing"],
            db: ["element {FRONT} . 172.20.0.3 of resolvers in table inet linuxnet is missing"],
            other: ["element {BACK} . 172.21.0.2 of resolvers in table inet linuxnet is missing"],
            webFront: ["element {web} of endpoints in table bridge linuxnet is missing", "..."],
            dbFront: ["element {db} of endpoints in table bridge linuxnet is missing", "..."],
            otherBack: ["element {other} of endpoints in table bridge linuxnet is missing", "..."],
            http: ["element tcp . 8080 of published_any in table inet linuxnet is missing"],
            tunnel: ["element 4789 of tunnel_ports in table inet linuxnet is missing", "..."],
        },
        anew: ["chain inet:*", "chain bridge:*"],
    },
    {
        title: "a namespace is gone",
        command: `ip netns del {WEB}; ${untilGone("{web}")}`,
        drift: {
            web: ["namespace {WEB} is missing", ...withoutNames, "route to default in table main in {WEB} is missing"],
            webFront: [
                `${webLink} is missing`,
                "address 172.20.0.2/24 on front in {WEB} is missing",
                "route to 172.20.0.0/24 in table 1000 in {WEB} is missing",
                "route to default in table 1000 in {WEB} is missing",
                "rule from 172.20.0.2 lookup 1000 in {WEB} is missing",
            ],
        },
        anew: ["netns {WEB}", "inside {WEB}:*", "link {web}"],
    },
    ...["ip link del {web}", "ip -n {WEB} link del front"].map((command, i) => ({
        title: `a veth is gone, deleted ${i === 0 ? "on the host" : "in the sandbox"}`,
        command,
        drift: {
            web: [...withoutNames, "route to default in table main in {WEB} is missing"],
            webFront: [`${webLink} is missing`, "address 172.20.0.2/24 on front in {WEB} is missing", "..."],
        },
        anew: ["link {web}", "inside {WEB}:front"],
    })),
    {
        title: "the host's end is down",
        command: "ip link set {web} down",
        drift: { webFront: [`${webLink}: its end on the host is down`] },
    },
    {
        title: "the sandbox's end is down",
        command: "ip -n {WEB} link set front down",
        drift: {
            web: [
                "route to 127.0.0.11 in table local in {WEB} is missing",
                "route to default in table main in {WEB} is missing",
            ],
            webFront: [`${webLink}: its end in the sandbox is down`, "..."],
        },
    },
    {
        title: "a sandbox's loopback is down",
        command: "ip -n {WEB} link set lo down",
        drift: { web: ["namespace {WEB}: its interface lo is down"] },
    },
    {
        title: "a port left its bridge",
        command: "ip link set {web} nomaster",
        drift: { webFront: [`${webLink}: bridge is none, not {FRONT}`] },
    },
    {
        title: "a port is on another bridge",
        command: "ip link set {web} master {BACK}",
        drift: { webFront: [`${webLink}: hairpin is off`, `${webLink}: bridge is {BACK}, not {FRONT}`] },
    },
    {
        title: "a port's hairpin is off",
        command: "ip link set {web} type bridge_slave hairpin off",
        drift: { webFront: [`${webLink}: hairpin is off`] },
    },
    {
        title: "a port is isolated",
        command: "ip link set {web} type bridge_slave isolated on",
        drift: { webFront: [`${webLink}: isolated is on`] },
    },
    {
        title: "another MAC",
        command: "ip -n {WEB} link set dev front address 02:00:00:00:00:99",
        drift: { webFront: [`${webLink}: MAC is 02:00:00:00:00:99, not {mac}`] },
    },
    {
        title: "another MTU in the sandbox",
        command: "ip -n {WEB} link set dev front mtu 1300",
        drift: { webFront: [`${webLink}: MTU is 1300, not 1500`] },
    },
    {
        title: "a bridge is gone",
        command: "ip link del {FRONT}",
        drift: {
            front: [
                "interface {FRONT} is missing",
                "address 172.20.0.1/24 on {FRONT} is missing",
                "sysctl net/ipv4/conf/{FRONT}/forwarding is missing",
                "sysctl net/ipv4/conf/{FRONT}/route_localnet is missing",
                "sysctl net/ipv4/conf/{FRONT}/send_redirects is missing",
            ],
            webFront: [`${webLink}: bridge is none, not {FRONT}`],
            dbFront: ["interface {db} (front in {DB}): bridge is none, not {FRONT}"],
        },
        anew: ["link {FRONT}"],
    },
    {
        title: "a bridge is down",
        command: "ip link set {FRONT} down",
        drift: { front: ["interface {FRONT}: it is down"] },
    },
    {
        title: "a bridge has another MTU",
        command: "ip link set {FRONT} mtu 1400",
        drift: { front: ["interface {FRONT}: MTU is 1400, not 1500"] },
    },
    {
        title: "a bridge has another MAC",
        command: "ip link set {FRONT} address 02:00:00:00:00:98",
        drift: { front: ["interface {FRONT}: MAC is 02:00:00:00:00:98, not 02:6c:ac:14:00:01"] },
    },
    {
        title: "a bridge hands nothing to the firewall",
        command: "ip link set {FRONT} type bridge nf_call_iptables 0",
        drift: { front: ["interface {FRONT}: nf_call_iptables is off"] },
    },
    {
        title: "a gateway's address is gone",
        command: "ip address del 172.20.0.1/24 dev {FRONT}",
        drift: { front: ["address 172.20.0.1/24 on {FRONT} is missing"] },
    },
    {
        title: "the gateway's address is gone where a tunnel hangs on it",
        command: "ip address del 172.21.0.1/24 dev {BACK}",
        drift: {
            back: ["address 172.21.0.1/24 on {BACK} is missing"],
            tunnel: ["route to 172.21.0.128/31 in table main is missing"],
        },
    },
    {
        title: "the host's route to a network is gone",
        command: "ip route del 172.20.0.0/24 dev {FRONT}",
        drift: { front: ["address 172.20.0.1/24 on {FRONT}: the route to 172.20.0.0/24 is gone"] },
    },
    {
        title: "a sandbox's address is another",
        command: "ip -n {WEB} address add 172.20.0.77/24 dev front; ip -n {WEB} address del 172.20.0.2/24 dev front",
        drift: {
            web: [
                "route to 127.0.0.11 in table local in {WEB} is missing",
                "route to default in table main in {WEB} is missing",
            ],
            webFront: ["address 172.20.0.2/24 on front in {WEB} is missing", "..."],
        },
    },
    {
        title: "a sandbox's route to its network is gone",
        command: "ip -n {WEB} route del 172.20.0.0/24 dev front table main",
        drift: { webFront: ["address 172.20.0.2/24 on front in {WEB}: the route to 172.20.0.0/24 is gone"] },
    },
    {
        title: "a sandbox's default route is gone",
        command: "ip -n {WEB} route del default",
        drift: { web: ["route to default in table main in {WEB} is missing"] },
    },
    {
        title: "a sandbox's default route leads elsewhere",
        command: "ip -n {WEB} route replace default via 172.20.0.3",
        drift: { web: ["route to default in table main in {WEB}: gateway is 172.20.0.3, not 172.20.0.1"] },
    },
    {
        title: "a route for replies is gone",
        command: "ip -n {WEB} route del default table 1000",
        drift: { webFront: ["route to default in table 1000 in {WEB} is missing"] },
    },
    {
        title: "a rule for replies is gone",
        command: "ip -n {WEB} rule del priority 1000",
        drift: { webFront: ["rule from 172.20.0.2 lookup 1000 in {WEB} is missing"] },
    },
    {
        title: "forwarding of a network is off",
        command: "echo 0 >/proc/sys/net/ipv4/conf/{FRONT}/forwarding",
        drift: { front: ["sysctl net/ipv4/conf/{FRONT}/forwarding: value is 0, not 1"] },
    },
    {
        title: "forwarding of the uplink is off",
        command: "echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding",
        drift: { host: ["sysctl net/ipv4/conf/eth0/forwarding: value is 0, not 1"] },
    },
    {
        title: "a sandbox's switch is another",
        command: "nsenter --net=/run/netns/{OTHER} sh -c 'echo 33 >/proc/sys/net/ipv4/ip_default_ttl'",
        drift: { other: ["sysctl net/ipv4/ip_default_ttl in {OTHER}: value is 33, not 70"] },
    },
    {
        title: "a tunnel's forwarding entry is gone",
        command: "bridge fdb del 02:6c:c6:12:ff:fe dev {TUNNEL} self dst 198.18.255.254",
        drift: { tunnel: ["forwarding entry 02:6c:c6:12:ff:fe on {TUNNEL} is missing"] },
    },
    {
        title: "a tunnel's neighbour is gone",
        command: "ip neigh flush dev {TUNNEL} nud permanent",
        drift: { tunnel: ["neighbour 172.21.0.128 on {TUNNEL} is missing"] },
    },
    {
        title: "a tunnel's route is gone",
        command: "ip route del 172.21.0.128/31",
        drift: { tunnel: ["route to 172.21.0.128/31 in table main is missing"] },
    },
    {
        title: "a tunnel's way back to a peer is gone",
        command: "ip rule del priority 1080",
        drift: { tunnel: ["rule iif {BACK} fwmark 0x4c4e0001 lookup 1280180225 is missing"] },
    },
    {
        title: "a sandbox's way to its segment is gone",
        command: "ip -n {OTHER} route del 172.21.0.128/25",
        drift: { otherBack: ["route to 172.21.0.128/25 in table main in {OTHER} is missing"] },
    },
    {
        title: "a tunnel learns",
        command: "ip link set {TUNNEL} type vxlan learning",
        drift: { tunnel: ["interface {TUNNEL}: learning is on"] },
        anew: ["link {TUNNEL}"],
    },
    {
        title: "a tunnel's interface is a port of a bridge",
        command: "ip link set {TUNNEL} master {BACK}",
        drift: { tunnel: ["interface {TUNNEL}: it is a port of {BACK}"] },
        anew: ["link {TUNNEL}"],
    },
    {
        title: "a tunnel's interface is gone",
        command: "ip link del {TUNNEL}",
        drift: { tunnel: ["interface {TUNNEL} is missing", "..."] },
        anew: ["link {TUNNEL}"],
    },
    {
        title: "the host was rebooted, and nothing restored it",
        command: `for n in {WEB} {DB} {OTHER}; do ip netns del $n; done
            ${["{web}", "{db}", "{other}"].map(untilGone).join("; ")}
            ip link del {TUNNEL}; ip link del {FRONT}; ip link del {BACK}; nft flush ruleset; rm -rf /run/linuxnet
            echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding
            # A resolver that is about to go takes its own folder away at the same time.
            while [ -e /run/linuxnet-dns ]; do rm -rf /run/linuxnet-dns; done`,
        drift: {
            host: ["nftables: table inet linuxnet is missing", "..."],
            front: ["interface {FRONT} is missing", "..."],
            back: ["interface {BACK} is missing", "..."],
            web: ["namespace {WEB} is missing", "..."],
            db: ["namespace {DB} is missing", "..."],
            other: ["namespace {OTHER} is missing", "..."],
            webFront: ["element {web} of endpoints in table bridge linuxnet is missing", "..."],
            dbFront: ["element {db} of endpoints in table bridge linuxnet is missing", "..."],
            otherBack: ["element {other} of endpoints in table bridge linuxnet is missing", "..."],
            http: ["element tcp . 8080 of published_any in table inet linuxnet is missing"],
            tunnel: ["element 4789 of tunnel_ports in table inet linuxnet is missing", "..."],
        },
        anew: ["link *", "netns *", "inside *", "chain *"],
    },
    {
        title: "names are gone",
        command: "rm /run/linuxnet-dns/names/{FRONT}/{web}",
        drift: { webFront: ["file /run/linuxnet-dns/names/{FRONT}/{web} is missing"] },
    },
    {
        title: "the restore script is gone",
        command: "rm /var/lib/linuxnet/restore",
        drift: { host: ["file /var/lib/linuxnet/restore is missing"] },
    },
    {
        title: "what rebuilds an endpoint after a reboot is gone",
        command: "rm /var/lib/linuxnet/objects/{web}.restore",
        drift: { webFront: ["file /var/lib/linuxnet/objects/{web}.restore is missing"] },
    },
    {
        title: "what rebuilds the shared part is gone",
        command: "rm /var/lib/linuxnet/objects/base.restore",
        drift: { host: ["file /var/lib/linuxnet/objects/base.restore is missing"] },
    },
];

test.each(damages)("drift: $title: is named, repaired with the least steps, and nothing is left", async (damage) => {
    const before = await readIdentities();
    const files = async () => (await bed.host.exec("cd /var/lib/linuxnet/objects; ls; cat *.restore")).stdout;
    const filesBefore = await files();
    await bed.host.exec(fill(damage.command));
    const drifted = await refreshAll();
    const expected = Object.entries(damage.drift).map(([name, texts]) => [name, texts.map(fill)] as const);
    // "..." stands for what follows.
    const cut = Object.entries(drifted).map(([name, texts]) => {
        const wanted = expected.find(([each]) => each === name)?.[1] ?? [];
        return [name, wanted.at(-1) === "..." ? [...texts.slice(0, wanted.length - 1), "..."] : texts];
    });
    expect.soft(Object.fromEntries(cut)).toEqual(Object.fromEntries(expected));
    await repair(drifted);
    expect(await refreshAll()).toEqual({});
    await repair({});
    const after = await readIdentities();
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    const anew = (damage.anew ?? []).map(fill);
    const isAnew = (key: string) =>
        anew.some((each) => each === key || (each.endsWith("*") && key.startsWith(each.slice(0, -1))));
    const changed = [...after].filter(([key, identity]) => identity !== before.get(key)).map(([key]) => key);
    expect(changed.filter((key) => !isAnew(key))).toEqual([]);
    expect(await files()).toBe(filesBefore);
    await expectTraffic();
});
