import * as pulumi from "@pulumi/pulumi";

/** What a resource of ours declares and has no input for; each declared output costs the engine's SDK some promises. */
const declared = ["name", "reference", "adopt", "drift", "address", "ipv4Address", "ipv6Address", "macAddress"];
const more = ["aliases", "interfaceName", "gatewayPriority", "routes", "allowedAddresses", "hostInterface"];
const unset = Object.fromEntries([...declared, ...more].map((name) => [name, undefined]));

/**
 * A resource whose provider does nothing, with as many properties, of the same size, with the same secret and the same
 * dependencies as an endpoint of ours: what is left is what the engine itself costs. Its provider text is as constant as
 * ours, so that neither serialises code.
 */
export class DoNothing extends pulumi.CustomResource {
    declare readonly connection: pulumi.Output<unknown>;

    /** @param needs the resources it refers to; the connection is the first one's. */
    constructor(name: string, needs: Readonly<Record<string, DoNothing>>, connection?: object) {
        const project = pulumi.getProject();
        const stack = pulumi.getStack();
        const urn = `urn:pulumi:${stack}::${project}::pulumi-nodejs:dynamic/bench:DoNothing::${name}`;
        const refs = Object.entries(needs).map(([kind, { id }]) => [kind, { kind, id }]);
        super(
            "pulumi-nodejs:dynamic/bench:DoNothing",
            name,
            {
                ...unset,
                ...Object.fromEntries(refs),
                labels: {},
                gatewayPriority: 0,
                objectKey: "le39259e1e7bf7",
                owner: { project, stack, urn, name },
                connection: pulumi.secret(connection ?? Object.values(needs)[0]?.connection),
                __provider: handler,
            },
            { additionalSecretOutputs: ["connection"] },
        );
    }
}

const handler = `
const machineId = "4cd64771b442301678e14f76e129e5bb";
const outsOf = (inputs) => ({
    ...inputs, machineId, schemaVersion: 1, drift: [], name: inputs.owner.name,
    address: "10.9.0.2", ipv4Address: "10.9.0.2", macAddress: "02:6c:0a:09:00:02", interfaceName: "net", hostInterface: "le39259e1e7bf7",
    reference: { schemaVersion: 1, kind: "endpoint", id: "le39259e1e7bf7.de052b@" + machineId, name: inputs.owner.name, machineId, owner: inputs.owner },
});
exports.handler = () => ({
    check: async (olds, news) => ({ inputs: news, failures: [] }),
    diff: async () => ({ changes: false }),
    create: async (inputs) => ({ id: "le39259e1e7bf7.de052b@" + machineId, outs: outsOf(inputs) }),
    read: async (id, props) => ({ id, props }),
    update: async (id, olds, news) => ({ outs: outsOf(news) }),
    delete: async () => {},
});`;
