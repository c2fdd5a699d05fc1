import { firstHalf } from "../model/half.js";
import { type HostObject, hostTarget, type PortTarget, targetsOf } from "../model/object.js";
import { isOfStack, type Owner } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import type { World } from "../model/world.js";
import { objectKinds } from "./index.js";
import { describeObject } from "./kind.js";

/** Objects and what is left of them: nothing, or what they were adopted from. */
export type Leavings = ReadonlyMap<string, HostObject | undefined>;

/** One on another host is not this host's to lose. */
const isHere = ({ addresses }: PortTarget) => addresses === undefined;

/**
 * Objects that go, with what of their stack still hangs on them. The engine deletes dependents first, so what is left has
 * been forgotten (`deletedWith`, `pulumi state delete`, a killed create) and cannot live alone. What hangs on an object that
 * is only given back goes too: its owner before knows nothing of it.
 * @throws Refusal when an object of another stack, or one that is retained, hangs on one that goes
 */
export function letGo(roots: Leavings, stack: Owner, world: World): Leavings {
    const left = new Map(roots);
    const isOwn = ({ owner, retained }: HostObject) => isOfStack(owner, stack) && !retained;
    // What is added on the way is visited too.
    for (const [key, rest] of left) {
        const object = world.objects.get(key);
        if (object === undefined) continue;
        const hanging = objectKinds[object.kind].dependents(object, world);
        const isGone = (other: HostObject) => left.has(other.key) && left.get(other.key) === undefined;
        const others = hanging.filter((other) => rest === undefined && !isOwn(other) && !isGone(other));
        if (others.length > 0) {
            const names = others
                .slice(0, 5)
                .map((other) => `${describeObject(other)}${other.retained ? " (retained)" : ""}`);
            throw new Refusal(`it is still used by ${names.join(", ")}. Remove those first.`);
        }
        for (const other of hanging.filter((each) => isOwn(each) && each.kind !== "port-mapping")) {
            if (left.has(other.key) && (isGone(other) || rest !== undefined)) continue;
            left.delete(other.key);
            left.set(other.key, rest === undefined ? undefined : other.adoptedFrom);
        }
    }
    // What has several targets goes with the last of them.
    const isLeft = (target: string) => left.has(target) || (target !== hostTarget && !world.objects.has(target));
    for (const key of [...left.keys()]) {
        const ofPolicies = world.policiesOn(key).map((object) => ({ object, targets: object.targets }));
        const ofMappings = world
            .mappingsOf(key)
            .filter((object) => targetsOf(object).every(isHere))
            .map((object) => ({ object, targets: targetsOf(object).map(({ endpoint }) => endpoint) }));
        for (const { object, targets } of [...ofPolicies, ...ofMappings]) {
            if (targets.every(isLeft) && isOwn(object) && !left.has(object.key)) {
                left.set(object.key, object.adoptedFrom);
            }
        }
    }
    return left;
}

/**
 * What puts an object in its place. A network of another subnet comes with a replacement that is created before the old one
 * is deleted: no address on it can stay, and the engine makes anew what was there.
 * @throws Refusal as `letGo`
 */
export function putInPlace(object: HostObject, stack: Owner, world: World): Leavings {
    const there = world.objects.get(object.key);
    const put: Leavings = new Map([[object.key, object]]);
    if (there?.kind !== "network" || object.kind !== "network" || firstHalf(there).subnet === firstHalf(object).subnet)
        return put;
    return new Map([...letGo(new Map([[object.key, undefined]]), stack, world), ...put]);
}
