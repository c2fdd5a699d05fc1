import { afterAll, beforeAll, expect } from "vitest";
import {
    createLab,
    type HostSnapshot,
    type Lab,
    type LabHost,
    type LabMachine,
    snapshotHost,
} from "../../lab/index.js";
import { reconnect } from "./driver.js";

/** Throwaway hosts of one test file. */
export interface TestBed {
    readonly lab: Lab;
    /** The first host. */
    readonly host: LabHost;
    readonly hosts: readonly LabHost[];
    /** The machine outside. */
    readonly client: LabMachine;
    /** Throws when anything on the hosts differs from how it was before the tests. */
    expectAsBefore(): Promise<void>;
    /** Lets the client send packets for subnets to the first host, as an attacker on the same segment would. */
    routeOutside(...subnets: string[]): Promise<AsyncDisposable>;
}

/** Makes hosts before the tests of a file; after them the hosts must be as they were. */
export function layTestBed(count = 1): TestBed {
    let lab: Lab | undefined;
    let before: HostSnapshot[] = [];
    const made = () => {
        if (lab === undefined) throw new Error("The lab is there while tests run only.");
        return lab;
    };
    const snapshots = () => Promise.all(made().hosts.map(snapshotHost));
    beforeAll(async () => {
        lab = await createLab({ hosts: count, onProgress: (text) => console.log(text) });
        before = await snapshots();
    });
    afterAll(async () => {
        await using _ = made();
        await reconnect();
        await bed.expectAsBefore();
    });
    const bed: TestBed = {
        get lab() {
            return made();
        },
        get hosts() {
            return made().hosts;
        },
        get host() {
            const [first] = made().hosts;
            if (first === undefined) throw new Error("The lab has no host.");
            return first;
        },
        get client() {
            return made().client();
        },
        async expectAsBefore() {
            expect(await snapshots()).toEqual(before);
        },
        async routeOutside(...subnets) {
            const change = (verb: string) =>
                bed.client.exec(
                    subnets
                        .map(
                            (each) =>
                                `ip route ${verb} ${each} via ${each.includes(":") ? bed.host.ipv6Address : bed.host.address}`,
                        )
                        .join(" && "),
                );
            await change("add");
            return { [Symbol.asyncDispose]: async () => void (await change("del")) };
        },
    };
    return bed;
}
