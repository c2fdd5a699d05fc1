import { expect, test } from "vitest";
import { openStack, type Resource } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { ask, run } from "./traffic.js";

const bed = layTestBed();

test("drift: whatever drifted is reported by a refresh and repaired by the next update", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const back = await stack.network("back", { subnet: "172.21.0.0/24", masquerade: false });
    const web = await stack.join("web", front);
    const db = await stack.join("db", front);
    const other = await stack.join("other", back);
    const mapping = await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
    const policy = await stack.firewallPolicy("db", {
        target: db.endpoint,
        ingress: [{ action: "allow", from: [web.endpoint] }],
    });
    const all: Resource[] = [front, back, web.sandbox, db.sandbox, web.endpoint, db.endpoint, mapping, policy];
    const { name } = web.sandbox.outs;
    const { hostInterface } = web.endpoint.outs;
    const damages: [string, readonly Resource[]][] = [
        [`ip link del ${hostInterface}`, [web.endpoint]],
        [`ip link set ${hostInterface} down`, [web.endpoint]],
        [`ip link set ${hostInterface} nomaster`, [web.endpoint]],
        [`ip link set ${hostInterface} type bridge_slave hairpin off`, [web.endpoint]],
        [`ip -n ${name} link set dev front address 02:00:00:00:00:99`, [web.endpoint]],
        [`ip -n ${name} link set dev front mtu 1300`, [web.endpoint]],
        [`ip -n ${name} address flush dev front`, [web.endpoint]],
        [`ip -n ${name} route del default`, [web.sandbox]],
        [`ip -n ${name} rule del priority 1000`, [web.endpoint]],
        [`ip link del ${front.outs.interfaceName}`, [front, web.endpoint, db.endpoint]],
        [`ip link set ${front.outs.interfaceName} type bridge nf_call_iptables 0`, [front]],
        [`ip address del 172.20.0.1/24 dev ${front.outs.interfaceName}`, [front]],
        [`ip netns del ${name}`, [web.sandbox, web.endpoint]],
        ["nft flush ruleset", all],
        ["nft flush chain inet linuxnet forward", [front]],
        ["nft delete element inet linuxnet published_any '{ tcp . 8080 }'", [mapping]],
        ["nft delete element inet linuxnet masqueraded '{ 172.20.0.0/24 }'", [front]],
        ["nft delete set bridge linuxnet guarded 2>/dev/null || nft delete table bridge linuxnet", [web.endpoint]],
        [`nft flush chain inet linuxnet in_${db.endpoint.outs.hostInterface}`, [db.endpoint]],
        [`echo 0 >/proc/sys/net/ipv4/conf/${front.outs.interfaceName}/forwarding`, [front]],
        ["echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding", [front]],
    ];
    for (const [damage, drifted] of damages) {
        await bed.host.exec(damage);
        const reports = await Promise.all(all.map((resource) => resource.refresh()));
        const reporting = all.filter((_, i) => reports[i]?.length !== 0);
        for (const resource of drifted)
            expect(reporting, `${damage}: ${resource.kind} ${resource.name}`).toContain(resource);
        for (const resource of all) {
            const outcome = await resource.update({}).catch((error) => error.message);
            const expected = reporting.includes(resource) ? "update" : "same";
            expect(outcome, `${damage}: ${resource.name}`).toBe(expected);
        }
        const after = await Promise.all(all.map((resource) => resource.refresh()));
        expect(after, damage).toEqual(all.map(() => []));
        await run(web.place, `ping -c1 -W1 ${db.address} && ping -c1 -W1 172.20.0.1`);
    }
    expect(await other.endpoint.refresh()).toEqual([]);
});

test("drift: after a reboot everything is repaired from the manifest", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const web = await stack.join("web", front);
    await bed.host.exec(`ip netns del ${web.sandbox.outs.name}; ip link del ${front.outs.interfaceName}; nft flush ruleset
        rm -rf /run/linuxnet; echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding`);
    for (const resource of [front, web.sandbox, web.endpoint]) expect(await resource.refresh()).not.toEqual([]);
    for (const resource of [front, web.sandbox, web.endpoint]) await resource.update({});
    for (const resource of [front, web.sandbox, web.endpoint]) expect(await resource.refresh()).toEqual([]);
    expect(await ask(web.place, "icmp 172.20.0.1", `icmp ${bed.client.address}`)).toEqual({
        "icmp 172.20.0.1": "reply",
        [`icmp ${bed.client.address}`]: "reply",
    });
});
