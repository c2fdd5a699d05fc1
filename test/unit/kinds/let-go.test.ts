import { expect, test } from "vitest";
import { letGo, putInPlace } from "../../../provider/kinds/let-go.js";
import type { HostObject } from "../../../provider/model/object.js";
import type { World } from "../../../provider/model/world.js";
import { build, endpoint, type Kind, keyOf, put, ref } from "./build.js";
import { smallWorld } from "./worlds.js";

const stack = { project: "shop", stack: "dev", urn: "urn", name: "x" };

/** What is left after deleting one object: names of what goes, and of what is given back. */
function goneWith(world: World, kind: Kind, name: string, rest?: HostObject): string[] {
    const left = letGo(new Map([[keyOf(kind, name), rest]]), stack, world);
    return [...left].map(([key, object]) => `${world.objects.get(key)?.owner.name}${object ? " (back)" : ""}`).sort();
}

test.each([
    ["port-mapping", "http", ["http"]],
    ["endpoint", "web-front", ["http", "web-front"]],
    // The last target of its policy.
    ["endpoint", "db-back", ["db-access", "db-back"]],
    ["sandbox", "web", ["http", "web", "web-front"]],
    ["network", "front", ["api-front", "front", "http", "web-front"]],
    ["network", "back", ["api-back", "back", "back-tunnel", "db-access", "db-back"]],
] as const)("let go: with %s %s goes what its stack has forgotten on it", (kind, name, expected) => {
    expect(goneWith(smallWorld(), kind, name)).toEqual(expected);
});

test("let go: a policy stays for the targets that stay", () => {
    const targets = [ref("endpoint", "db-back"), ref("endpoint", "api-back")];
    const world = put(smallWorld(), "firewall-policy", "db-access", { target: targets, ingress: [] });
    expect(goneWith(world, "endpoint", "db-back")).toEqual(["db-back"]);
    expect(goneWith(world, "network", "back")).toContain("db-access");
});

test("let go: what others, or nobody any more, have on it is named and stays", () => {
    const attachable = put(smallWorld(), "network", "front", {
        host: ref("host", "edge"),
        subnet: "172.20.0.0/24",
        attachable: true,
    });
    const args = { sandbox: ref("sandbox", "db"), network: ref("network", "front") };
    const world = put(attachable, "endpoint", "theirs", args, { stack: "team" });
    expect(() => goneWith(world, "network", "front")).toThrow(
        'still used by endpoint "theirs" of stack shop/team. Remove',
    );
    // Also when it hangs on what would go along.
    expect(() => goneWith(world, "sandbox", "db")).toThrow(
        'still used by endpoint "theirs" of stack shop/team. Remove',
    );
    const kept = { ...smallWorld().objects.get(keyOf("endpoint", "web-front")), retained: true } as HostObject;
    expect(() => goneWith(smallWorld().with(new Map([[kept.key, kept]])), "network", "front")).toThrow(
        'still used by endpoint "web-front" of stack shop/dev (retained). Remove',
    );
});

test("let go: a network that comes with another subnet finds nobody on it", () => {
    const world = smallWorld();
    const front = build("network", "front", { host: ref("host", "edge"), subnet: "172.30.0.0/24" }, world);
    const names = [...putInPlace(front, stack, world)].map(([key, rest]) => [world.objects.get(key)?.owner.name, rest]);
    expect(Object.fromEntries(names)).toEqual({
        front,
        "web-front": undefined,
        "api-front": undefined,
        http: undefined,
    });
    const same = build("network", "front", { host: ref("host", "edge"), subnet: "172.20.0.0/24" }, world);
    expect([...putInPlace(same, stack, world).keys()]).toEqual([same.key]);
});

test("let go: on what is given back, the stack's own goes and that of others stays", () => {
    const small = smallWorld();
    const before = small.objects.get(keyOf("network", "front")) as HostObject;
    const theirs = { ...before, attachable: true, owner: { ...before.owner, stack: "team" } } as HostObject;
    const open = small.with(new Map([[theirs.key, { ...before, attachable: true } as HostObject]]));
    const world = put(
        endpoint(open, "db", "front"),
        "endpoint",
        "db-front",
        {
            sandbox: ref("sandbox", "db"),
            network: ref("network", "front"),
        },
        { stack: "team" },
    );
    expect(goneWith(world, "network", "front", theirs)).toEqual(["api-front", "front (back)", "http", "web-front"]);
});
