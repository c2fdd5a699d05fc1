import { randomBytes } from "node:crypto";
import { compare, type InputRules } from "./compare.js";
import type { Description, Host } from "./host/host.js";
import { identityDirectory, wireguardKeyPath } from "./kernel/identity.js";
import { hostSchema } from "./kinds/host.js";
import { type Leavings, letGo } from "./kinds/let-go.js";
import { routeTo } from "./kinds/underlay.js";
import {
    checkInputs,
    completeGet,
    type Handler,
    type Props,
    refuseOtherMachine,
    signedBy,
    withoutUndefined,
} from "./lifecycle.js";
import { type Connection, type Hop, withoutHostsWords } from "./model/connection.js";
import { isEqual } from "./model/equal.js";
import type { NetworkObject } from "./model/object.js";
import { formatId, isOfStack, type Owner, parseId, type ReferenceValue } from "./model/reference.js";
import type { HostFacts, World } from "./model/world.js";
import { leaveMachine, sessionOf, sessionToDelete } from "./sessions.js";

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

function outputsOf({ facts }: Host, known: Description, inputs: Props, generation: string): Props {
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
        capabilities: known.capabilities,
        identity: known.identity,
        commandConnection: commandConnection(connectionOf(inputs)),
        schemaVersion: 1,
        reference,
        drift: [],
    });
}

/** What encryption between hosts would miss; the next update makes it. */
function identityDrift({ identity, capabilities }: Description): string[] {
    if (identity === undefined) return [`folder ${identityDirectory} is missing`];
    const lacksKey = identity.wireguardPublicKey === undefined && capabilities.includes("wg");
    return lacksKey ? [`file ${wireguardKeyPath} is missing`] : [];
}

/** What the manifest still lists for a Host: a killed create is not in the state. What is retained stays. */
function leftOvers(world: World, hostId: string, owner: Owner): Leavings {
    const own = [...world.all("network"), ...world.all("sandbox"), ...world.all("firewall-policy")].filter(
        (object) => object.host === hostId && isOfStack(object.owner, owner) && !object.retained,
    );
    return letGo(new Map(own.map((object) => [object.key, object.adoptedFrom])), owner, world);
}

/** The networks of a Host with its wish, where they have another one. */
function withCooperation(world: World, hostId: string, wants: boolean): Map<string, NetworkObject> {
    const others = world.all("network").filter(({ host, cooperate = false }) => host === hostId && cooperate !== wants);
    return new Map(
        others.map(({ cooperate: _, ...network }) => [
            network.key,
            { ...network, ...(wants ? { cooperate: wants } : {}) },
        ]),
    );
}

/**
 * The connection tells what is on the host how stack configuration calls it, whether it may be gone, whether its networks
 * need exceptions in other firewalls, and where those without a subnet take theirs from. State that says none of it stays
 * as it is until its connection changes: it would list every resource as updated.
 */
function carry(inputs: Props, olds: Props): Props {
    const { connection, deleteUnreachable, cooperate, addressPools } = inputs;
    if (typeof connection !== "object" || connection === null) return inputs;
    const written = withoutHostsWords(connection as Connection);
    const saysMore = deleteUnreachable === true || cooperate === true || addressPools !== undefined;
    if (!saysMore && isEqual(olds["connection"], written)) return { ...inputs, connection: written };
    const told = {
        name: (inputs["owner"] as Owner).name,
        ...(deleteUnreachable === true ? { deleteUnreachable } : {}),
        ...(cooperate === true ? { cooperate } : {}),
        ...(addressPools === undefined ? {} : { addressPools }),
    };
    return { ...inputs, connection: { ...written, ...told } };
}

/** Both addresses follow the host where the program does not give them. */
const inputRules: InputRules = {
    ...{ schema: hostSchema, replaces: [] },
    chosen: ["underlayAddress", "publicAddress"],
};

/** A Host is a way to a machine and what is known of it, and stands for what all objects on it share. */
export const hostHandler: Handler = {
    async check(olds, news) {
        const { inputs, failures } = checkInputs("host", hostSchema, news);
        return { inputs: failures.length > 0 ? inputs : carry(inputs, olds), failures };
    },

    async diff(id, olds, news) {
        const { changes: differs, replaces } = compare(olds, news, inputRules);
        const underlayAddress = news["underlayAddress"] ?? olds["underlayAddress"];
        const isAnother = !isEqual(olds["triggers"] ?? [], news["triggers"] ?? []);
        const changes = differs || isAnother || addressesOf(news, underlayAddress).address !== olds["address"];
        // Deletes come first, in this process, and before those of a Host its diff: also when a run before was cut off.
        if (isAnother) leaveMachine(connectionOf(olds), parseId(id).machineId);
        if (isAnother) replaces.push("triggers");
        return { changes, replaces, deleteBeforeReplace: isAnother, stables: ["machineId"] };
    },

    async create(inputs) {
        const host = await sessionOf(connectionOf(inputs), bootMs);
        const generation = randomBytes(3).toString("hex");
        const outs = outputsOf(host, await host.describe("makes identity"), inputs, generation);
        return { id: formatId({ key: "host", generation, machineId: host.facts.machineId }), outs };
    },

    async read(id, given) {
        const { generation, machineId } = parseId(id);
        const isGet = given["schemaVersion"] === undefined;
        const props = isGet ? carry(completeGet(given), {}) : given;
        const host = await sessionOf(connectionOf(props));
        refuseOtherMachine(host, machineId);
        // What all objects of the machine share belongs to it; other Hosts of the same machine show it too.
        const [known, { driftOf }] = await Promise.all([host.describe(), host.observe()]);
        const drift = [...driftOf("base"), ...identityDrift(known)];
        return { id, props: { ...outputsOf(host, known, props, generation), drift } };
    },

    async update(id, olds, news) {
        const { changed } = compare(olds, news, inputRules);
        let { capabilities, identity } = olds as unknown as Description;
        if (changed.includes("drift") || changed.includes("cooperate")) {
            const host = await sessionOf(connectionOf(news));
            refuseOtherMachine(host, parseId(id).machineId);
            const owner = news["owner"] as Owner;
            await host.commit({
                ...signedBy("host", owner),
                repair: changed.includes("drift"),
                decide: (world) => withCooperation(world, id, news["cooperate"] === true),
            });
            if (changed.includes("drift")) ({ capabilities, identity } = await host.describe("makes identity"));
        }
        const { underlayAddress } = { ...olds, ...news } as Props;
        return {
            outs: withoutUndefined({
                ...olds,
                ...news,
                underlayAddress,
                ...addressesOf(news, underlayAddress),
                deleteUnreachable: news["deleteUnreachable"],
                cooperate: news["cooperate"],
                addressPools: news["addressPools"],
                commandConnection: commandConnection(connectionOf(news)),
                capabilities,
                identity,
                drift: [],
            }),
        };
    },

    async delete(id, props) {
        const owner = props["owner"] as Owner;
        const { machineId } = parseId(id);
        const host = await sessionToDelete(connectionOf(props), machineId, owner.urn);
        if (host === undefined) return;
        refuseOtherMachine(host, machineId);
        await host.commit({
            ...signedBy("host", owner),
            leavesHost: true,
            // Without any it ends what a killed transaction left.
            repair: leftOvers(host.world(), id, owner).size > 0,
            decide: (world) => leftOvers(world, id, owner),
        });
    },
};
