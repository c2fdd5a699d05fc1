import { isInTheWay } from "../../provider/host/failure.js";
import { liveTargets, targetsIn } from "../../provider/kinds/port-items.js";
import { everyAddress, familiesOf } from "../../provider/model/host-address.js";
import { count, stackOf } from "../name.js";
import type { Check } from "./checks.js";
import type { HostState } from "./state.js";

/** Nothing holds a published port: a program that began to listen on it later gets no connections from outside. */
export function checkListeners({ world, listeners }: HostState): Check[] {
    const checks: Check[] = [];
    for (const mapping of world.all("port-mapping")) {
        const targets = liveTargets(mapping, world);
        for (const { protocol, hostAddress, hostPort } of mapping.bindings) {
            const places = familiesOf(hostAddress)
                .filter((family) => targetsIn(family, targets).length > 0)
                .map((family) => hostAddress ?? everyAddress[family]);
            for (const listener of listeners) {
                const { port } = listener;
                if (listener.protocol !== protocol) continue;
                if (port < hostPort.first || port > hostPort.last) continue;
                if (!places.some((place) => isInTheWay(listener, place))) continue;
                checks.push({
                    name: "published ports",
                    result: "warning",
                    found: `${listener.process} listens on ${port}/${protocol}, which "${mapping.owner.name}" of ${stackOf(mapping)} publishes: it gets no connections`,
                    remedy: ["stop it, or publish another hostPort"],
                });
            }
        }
    }
    return checks;
}

export function checkCarried({ world }: HostState): Check {
    const objects = [...world.objects.values()];
    const stacks = [...new Set(objects.map(stackOf))].sort();
    const found = objects.length === 0 ? "nothing yet" : `${count(objects.length, "object")} of ${stacks.join(", ")}`;
    return { name: "carries", result: "ok", found };
}
