import { z } from "zod";
import { addressPools } from "./address-pools.js";
import { connection } from "./connection.js";
import { labels, later, shape } from "./schema.js";
import { underlayAddress } from "./underlay.js";

/** The arguments of a Host: a machine itself has nothing in the kernel that is ours, so it is no object of the manifest. */
export const hostSchema = shape({
    connection,
    triggers: z.array(z.unknown(), "a list is expected").optional(),
    underlayAddress: underlayAddress.optional(),
    publicAddress: z.string().min(1, "must not be empty").optional(),
    addressPools: addressPools.optional(),
    sysctls: later("Set them on the host, or per Sandbox.", {}),
    cooperate: z.boolean().optional(),
    deleteUnreachable: z.boolean().optional(),
    adopt: later("A Host takes over nothing.", false),
    labels,
});
