import { expect, test } from "vitest";
import { withNeededIdentity } from "../../../provider/kinds/peer-identity.js";
import { unknown } from "../../../provider/kinds/unknown.js";

const host = { kind: "host", id: "host.1@m2" };
const identity = { id: "0123456789abcdef0123456789abcdef", epoch: 3, wireguardPublicKey: `${"A".repeat(43)}=` };
const address = { underlayAddress: "192.0.2.20", ipRange: "172.20.1.0/24" };

test.each([
    ["nothing without encryption", undefined, {}],
    ['nothing with "none"', "none", {}],
    ["id and epoch with ipsec", "ipsec", { host, identity: { id: identity.id, epoch: 3 } }],
    ["the key with wireguard", "wireguard", { host, identity: { wireguardPublicKey: identity.wireguardPublicKey } }],
    ["all with one that is still to come", unknown, { host, identity }],
])("peers are told by %s", (_title, encryption, told) => {
    const peers = [{ host, ...address, identity }];
    expect(withNeededIdentity({ peers, encryption })).toEqual({ peers: [{ ...address, ...told }], encryption });
});

test("a peer that booted changes nothing of a tunnel that makes no keys of its epoch", () => {
    const tunnel = (epoch: number, encryption: string) =>
        withNeededIdentity({ peers: [{ ...address, identity: { ...identity, epoch } }], encryption });
    expect(tunnel(4, "none")).toEqual(tunnel(3, "none"));
    expect(tunnel(4, "wireguard")).toEqual(tunnel(3, "wireguard"));
    expect(tunnel(4, "ipsec")).not.toEqual(tunnel(3, "ipsec"));
});

test("unknown peers, and peers with an unknown identity, stay so where it is needed", () => {
    expect(withNeededIdentity({ peers: unknown, encryption: "ipsec" }).peers).toBe(unknown);
    const peers = [unknown, { ...address, identity: unknown }];
    expect(withNeededIdentity({ peers, encryption: "ipsec" }).peers).toEqual(peers);
    expect(withNeededIdentity({ peers }).peers).toEqual([unknown, address]);
});
