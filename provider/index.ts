import type { Handler, Props } from "./lifecycle.js";
import type { Kind } from "./model/kind.js";

/** What @pulumi/pulumi's dynamic provider calls. */
export interface DynamicProvider extends Handler {
    configure(request: { config: { get(key: string): string | undefined } }): Promise<void>;
}

/** Everything but this table is loaded when the engine first asks for work. */
async function handlerOf(kind: Kind): Promise<Handler> {
    if (kind === "host") return (await import("./host-lifecycle.js")).hostHandler;
    return (await import("./lifecycle.js")).objectHandler(kind);
}

/** Every call answers or throws an Error whose message is complete; nothing else may leave a handler (it hangs the engine). */
function provide(kind: Kind): DynamicProvider {
    let loading: Promise<Handler> | undefined;
    async function call<T>(props: Props, work: (handler: Handler) => Promise<T>): Promise<T> {
        try {
            // From the first call: a preview opens no session and can lose its engine too.
            loading ??= import("./sessions.js").then(({ watch }) => {
                watch();
                return handlerOf(kind);
            });
            return await work(await loading);
        } catch (error) {
            throw (await import("./lifecycle.js")).explain(kind, props, error);
        }
    }
    return methods(call, async ({ config }) => (await import("./sessions.js")).configure(config));
}

type Call = <T>(props: Props, work: (handler: Handler) => Promise<T>) => Promise<T>;

function methods(call: Call, configure: DynamicProvider["configure"]): DynamicProvider {
    return {
        configure,
        check: (olds, news) => call(news, (handler) => handler.check(olds, news)),
        diff: (id, olds, news) => call(olds, (handler) => handler.diff(id, olds, news)),
        create: (inputs) => call(inputs, (handler) => handler.create(inputs)),
        read: (id, props) => call(props, (handler) => handler.read(id, props)),
        update: (id, olds, news) => call(news, (handler) => handler.update(id, olds, news)),
        delete: (id, props) => call(props, (handler) => handler.delete(id, props)),
    };
}

// These names are written into users' state (`require("pulumi-linuxnet/provider").network`): permanent.
export const host = provide("host");
export const network = provide("network");
export const sandbox = provide("sandbox");
export const endpoint = provide("endpoint");
export const portMapping = provide("port-mapping");
export const firewallPolicy = provide("firewall-policy");
export const overlayTunnel = provide("overlay-tunnel");

/** Has no host, and so no session and no message that names one. */
export const overlayRanges = methods(
    async (_props, work) => work((await import("./overlay-ranges.js")).overlayRangesHandler),
    async () => undefined,
);
