import { expect, test } from "vitest";
import { parseSnapshot } from "../../../provider/host/snapshot.js";
import { observe } from "../../../provider/kernel/item.js";
import { mergeSets, parseWireguard } from "../../../provider/kernel/wireguard.js";

test("wireguard: what wg shows of interfaces and peers", () => {
    const shown = `kept-key	OWN=
public-key	lt1	OWN=
public-key	wg9	THEIRS=
listen-port	lt1	51820
listen-port	wg9	5555
allowed-ips	lt1	B=	172.25.0.128/26 172.25.0.7/32
allowed-ips	lt1	C=	(none)
allowed-ips	wg9	B=	10.99.0.0/24
persistent-keepalive	lt1	B=	off
persistent-keepalive	lt1	C=	25
persistent-keepalive	wg9	B=	off
`;
    const seen = parseWireguard(shown);
    expect([...seen.keys()]).toEqual(["lt1", "wg9"]);
    expect(seen.get("lt1")).toEqual({
        publicKey: "OWN=",
        keptKey: "OWN=",
        port: 51820,
        peers: new Map([
            ["B=", { allowed: new Set(["172.25.0.128/26", "172.25.0.7/32"]), keepAlive: 0 }],
            ["C=", { allowed: new Set(), keepAlive: 25 }],
        ]),
    });
    expect(parseWireguard("")).toEqual(new Map());
});

test.each([
    ["as it should be", "OWN=", "OWN=", "OWN="],
    ["set by somebody else", "THEIRS=", "OWN=", "THEIRS="],
    ["not the one that the host has by now", "OWN=", "NEW=", "NEW="],
    ["lost on the host", "OWN=", "", ""],
])("wireguard: the interface's key is seen %s", (_title, publicKey, keptKey, seen) => {
    const snapshot = parseSnapshot("");
    const wireguard = new Map([["lt1", { publicKey, keptKey, port: 51820, peers: new Map() }]]);
    const item = { type: "wireguard-key", dev: "lt1", port: 51820, publicKey: "OWN=" } as const;
    expect(observe([item], { ...snapshot, wireguard })).toEqual([{ ...item, publicKey: seen }]);
});

test("wireguard: what is set of one interface is one process, its own settings first", () => {
    const words = (text: string) => text.split(" ");
    expect(
        mergeSets([
            words("set lt1 peer B= remove"),
            words("set lt2 peer D= allowed-ips 10.0.0.0/8"),
            words("set lt1 peer C= persistent-keepalive 25"),
            words("set lt1 listen-port 51820 private-key /key"),
        ]).map((each) => each.join(" ")),
    ).toEqual([
        "wg set lt1 listen-port 51820 private-key /key peer B= remove peer C= persistent-keepalive 25",
        "wg set lt2 peer D= allowed-ips 10.0.0.0/8",
    ]);
});
