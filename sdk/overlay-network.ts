import * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.js";
import type { Network } from "./network.js";
import type { Identity } from "./resource.js";

/** One segment over many hosts. */
export class OverlayNetwork extends pulumi.ComponentResource {
    declare readonly __linuxnet: Identity<"overlay-network">;
    declare readonly networks: Record<string, Network>;
    on(_host: Host | string): Network {
        throw new Error("OverlayNetwork comes later.");
    }
}
