import { z } from "zod";
import { addressPools } from "./address-pools.js";
import { connection } from "./connection.js";
import { ipv4, labels, later, shape } from "./schema.js";

/** The arguments of a Host: a machine itself has nothing in the kernel that is ours, so it is no object of the manifest. */
export const hostSchema = shape({
    connection,
    triggers: z.array(z.unknown(), "a list is expected").optional(),
    underlayAddress: ipv4.optional(),
    publicAddress: z.string().min(1, "must not be empty").optional(),
    addressPools: addressPools.optional(),
    sysctls: later("Set them on the host, or per Sandbox.", {}),
    cooperate: z.boolean().optional(),
    deleteUnreachable: z.boolean().optional(),
    adopt: later("A Host takes over nothing.", false),
    labels,
});
