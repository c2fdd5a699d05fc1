import * as pulumi from "@pulumi/pulumi";

/**
 * A resource whose provider does nothing: what is left is what the engine itself costs. Its provider text is as constant
 * as ours, so that neither serialises code.
 */
export class DoNothing extends pulumi.CustomResource {
    constructor(name: string, inputs: pulumi.Inputs, opts?: pulumi.CustomResourceOptions) {
        super("pulumi-nodejs:dynamic/bench:DoNothing", name, { ...inputs, __provider: handler }, opts);
    }
}

const handler = `exports.handler = () => ({
    check: async (olds, news) => ({ inputs: news, failures: [] }),
    diff: async () => ({ changes: false }),
    create: async (inputs) => ({ id: "id", outs: inputs }),
    read: async (id, props) => ({ id, props }),
    update: async (id, olds, news) => ({ outs: news }),
    delete: async () => {},
});`;
