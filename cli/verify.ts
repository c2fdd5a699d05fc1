import { describeConnection } from "../provider/model/connection.js";
import type { HostObject } from "../provider/model/object.js";
import { closeSessions, sessionOf } from "../provider/sessions.js";
import { readCarried } from "./carried.js";
import { count, inOrder, stackOf, titleOf } from "./name.js";
import { paint, print } from "./table.js";
import { connectionOf, type TargetOptions } from "./target.js";

/** Compares the kernel with what the host should carry. @returns the exit code: 1 when something differs */
export async function verify(target: string | undefined, options: TargetOptions): Promise<number> {
    const connection = await connectionOf(target, options);
    const host = describeConnection(connection);
    // A host without objects is not asked for more: it may lack the tools, and `openHost` may give it a machine id.
    if ((await readCarried(connection)).world.objects.size === 0) {
        print(`${host} carries nothing of pulumi-linuxnet.`);
        return 0;
    }
    try {
        const { world, driftOf } = await (await sessionOf(connection)).observe();
        const objects = inOrder([...world.objects.values()]);
        const stacks = [...new Set(objects.map(stackOf))];
        const shared = driftOf("base");
        const differing = objects
            .map((object) => ({ object, drift: driftOf(object.key) }))
            .filter(({ drift }) => drift.length > 0);
        if (shared.length === 0 && differing.length === 0) {
            print(`${host}: ${paint.green("ok")}, ${count(objects.length, "object")} of ${stacks.join(", ")} checked.`);
            return 0;
        }
        if (shared.length > 0) printDrift("Shared by all objects", shared);
        for (const { object, drift } of differing) printDrift(titleOf(object), drift);
        print(
            `${host}: ${remedyOf(
                objects.length,
                differing.map(({ object }) => object),
                stacks,
                shared.length > 0,
            )}`,
        );
        return 1;
    } finally {
        await closeSessions();
    }
}

function printDrift(title: string, drift: readonly string[]): void {
    print(paint.bold(title));
    for (const difference of drift) print(`  ${paint.red(difference)}`);
}

function remedyOf(total: number, differing: readonly HostObject[], all: readonly string[], isShared: boolean): string {
    const stacks = isShared ? all : [...new Set(differing.map(stackOf))];
    const what = isShared
        ? "what all objects share differs"
        : `${differing.length} of ${count(total, "object")} differ`;
    return `${what} from what the host should carry. Run \`pulumi up --refresh\` in ${stacks.join(", ")}.`;
}
