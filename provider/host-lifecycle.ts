import { randomBytes } from "node:crypto";
import { compare } from "./compare.js";
import { tell } from "./engine-log.js";
import type { Host } from "./host/host.js";
import { hostSchema } from "./kinds/host.js";
import { routeTo } from "./kinds/overlay-tunnel.js";
import { checkInputs, completeGet, type Handler, type Props, withoutUndefined } from "./lifecycle.js";
import type { Connection, Hop } from "./model/connection.js";
import type { HostObject } from "./model/object.js";
import { formatId, nameStack, type Owner, parseId, type ReferenceValue } from "./model/reference.js";
import { Refusal } from "./model/refusal.js";
import type { HostFacts, World } from "./model/world.js";
import { sessionOf } from "./sessions.js";

/** A machine made in the same program is still booting. */
const bootMs = 60_000;

const connectionOf = (props: Props) => props["connection"] as Connection;

/** The address that a packet to the outside carries: how other hosts reach this one. */
function defaultUnderlay(facts: HostFacts): string | undefined {
    const route = routeTo("192.0.2.1", facts);
    const onRoute = facts.addresses.find(({ interfaceName }) => interfaceName === route?.interfaceName);
    const first = facts.addresses.find(({ interfaceName }) => interfaceName !== "lo");
    return route?.source ?? (onRoute ?? first)?.address.split("/")[0];
}

/** Where users reach it: follows the connection when the program does not say, unless a bastion is in between. */
function addressesOf(inputs: Props, underlayAddress: unknown): { publicAddress: unknown; address: unknown } {
    const { host, proxy } = connectionOf(inputs);
    const publicAddress =
        inputs["publicAddress"] ?? (proxy === undefined || proxy.length === 0 ? host : undefined) ?? underlayAddress;
    return { publicAddress, address: publicAddress };
}

/** The connection in the words of @pulumi/command, which knows one bastion at most. */
function commandConnection(connection: Connection): Props {
    const [bastion] = connection.proxy ?? [];
    return { ...commandLogin(connection), ...(bastion === undefined ? {} : { proxy: commandLogin(bastion) }) };
}

function commandLogin(login: Hop): Props {
    const { host, port, user, privateKey, privateKeyPassword, password, agentSocketPath } = login;
    return { host: host ?? "localhost", port, user, privateKey, privateKeyPassword, password, agentSocketPath };
}

async function outputsOf(host: Host, inputs: Props, generation: string): Promise<Props> {
    const { facts } = host;
    const owner = inputs["owner"] as Owner;
    const id = formatId({ key: "host", generation, machineId: facts.machineId });
    const reference: ReferenceValue = {
        schemaVersion: 1,
        kind: "host",
        id,
        name: owner.name,
        machineId: facts.machineId,
        owner,
    };
    const underlayAddress = (inputs["underlayAddress"] as string | undefined) ?? defaultUnderlay(facts);
    return withoutUndefined({
        name: owner.name,
        ...inputs,
        underlayAddress,
        ...addressesOf(inputs, underlayAddress),
        machineId: facts.machineId,
        kernel: facts.kernel,
        nftables: facts.nftables,
        capabilities: await host.capabilities(),
        commandConnection: commandConnection(connectionOf(inputs)),
        schemaVersion: 1,
        reference,
        drift: [],
    });
}

/**
 * What is left of a Host's objects, with all that hangs on them: a killed create is in the manifest, not in the state.
 * What was adopted is given back, and what is retained stays.
 */
function leftOvers(world: World, hostId: string, owner: Owner): ReadonlyMap<string, HostObject | undefined> {
    const left = new Map<string, HostObject | undefined>();
    const isGone = (key: string) => left.has(key) && left.get(key) === undefined;
    const isOfStack = (object: HostObject) =>
        object.owner.stack === owner.stack && object.owner.project === owner.project;
    /** What hangs on what goes goes along; what hangs on what is given back goes when it is this stack's. */
    const follow = (object: HostObject, ...parents: string[]) => {
        if (parents.some(isGone)) left.set(object.key, undefined);
        else if (parents.some((key) => left.has(key)) && isOfStack(object) && !object.retained)
            left.set(object.key, object.adoptedFrom);
    };
    for (const object of world.objects.values()) {
        const isOfHost = (object.kind === "network" || object.kind === "sandbox") && object.host === hostId;
        if (isOfHost && !object.retained) left.set(object.key, object.adoptedFrom);
    }
    for (const object of world.objects.values()) {
        if (object.kind === "endpoint") follow(object, object.network, object.sandbox);
        if (object.kind === "overlay-tunnel") follow(object, object.network);
    }
    for (const object of world.objects.values()) {
        if (object.kind === "port-mapping") follow(object, object.endpoint);
        if (object.kind === "firewall-policy" && object.targets.every((target) => left.has(target)))
            left.set(object.key, object.targets.every(isGone) ? undefined : object.adoptedFrom);
    }
    return left;
}

/** A Host is a way to a machine and what is known of it; the machine itself is not changed. */
export const hostHandler: Handler = {
    check: async (_olds, news) => checkInputs("host", hostSchema, news),

    async diff(_id, olds, news) {
        const { changes: differs } = compare(olds, news, [], []);
        const underlayAddress = news["underlayAddress"] ?? olds["underlayAddress"];
        const changes = differs || addressesOf(news, underlayAddress).address !== olds["address"];
        return { changes, replaces: [], deleteBeforeReplace: false, stables: ["machineId"] };
    },

    async create(inputs) {
        const host = await sessionOf(connectionOf(inputs), bootMs);
        const generation = randomBytes(3).toString("hex");
        const outs = await outputsOf(host, inputs, generation);
        return { id: formatId({ key: "host", generation, machineId: host.facts.machineId }), outs };
    },

    async read(id, given) {
        const { generation, machineId } = parseId(id);
        const props = completeGet(given);
        const host = await sessionOf(connectionOf(props));
        if (host.facts.machineId !== machineId) {
            throw new Refusal(`another machine answers: its machine id is ${host.facts.machineId}, not ${machineId}.`);
        }
        return { id, props: await outputsOf(host, props, generation) };
    },

    async update(_id, olds, news) {
        const { underlayAddress } = { ...olds, ...news } as Props;
        return {
            outs: withoutUndefined({
                ...olds,
                ...news,
                underlayAddress,
                ...addressesOf(news, underlayAddress),
                commandConnection: commandConnection(connectionOf(news)),
            }),
        };
    },

    async delete(id, props) {
        const host = await sessionOf(connectionOf(props));
        if (host.facts.machineId !== parseId(id).machineId) return;
        const owner = props["owner"] as Owner;
        await host.commit({
            owner: `host "${owner.name}" of stack ${nameStack(owner)}`,
            onWait: (message) => tell(owner.urn, message),
            // Without any it costs nothing, and ends what a killed transaction left.
            repair: leftOvers(host.world(), id, owner).size > 0,
            decide: (world) => leftOvers(world, id, owner),
        });
    },
};
