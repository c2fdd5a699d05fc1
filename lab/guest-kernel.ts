import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

/** A kernel of this machine's packages that a virtual machine can boot. */
export type GuestKernel = {
    readonly image: string;
    /** Files of the modules it needs before it has a root file system, in the order of loading. */
    readonly modules: readonly string[];
};

/** What an initramfs needs to mount the machine's file system and a disk of its own; the others load what they need. */
const bootModules = [
    "virtio_pci",
    "9pnet_virtio",
    "9p",
    "virtio_blk",
    "crc32c_generic",
    "ext4",
    "overlay",
    "virtio_net",
];

/** Finds the newest kernel in /boot whose modules are there; the cloud flavour has no 9p. */
export function findGuestKernel(): GuestKernel | undefined {
    const versions = listFolder("/boot").flatMap((name) => /^vmlinuz-(.+)$/.exec(name)?.[1] ?? []);
    const byVersion = new Intl.Collator("en", { numeric: true }).compare;
    for (const version of versions.sort(byVersion).reverse()) {
        const modules = resolveModules(join("/lib/modules", version));
        if (modules !== undefined) return { image: join("/boot", `vmlinuz-${version}`), modules };
    }
    return undefined;
}

/** @see depmod(8): `<file>: <files it needs, the first ones last>`, paths relative to the folder. */
function resolveModules(folder: string): string[] | undefined {
    const text = (name: string) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), "utf8") : "");
    const needs = new Map(
        text("modules.dep")
            .split("\n")
            .map((line) => line.split(":").map((part) => part.trim()))
            .map(([file = "", others = ""]) => [file, others.split(" ").filter((other) => other !== "")]),
    );
    const moduleName = (file: string) => basename(file).replace(/\.ko(\.\w+)?$/, "");
    const files = new Map([...needs.keys()].map((file) => [moduleName(file), file]));
    const builtIn = new Set(text("modules.builtin").split("\n").map(moduleName));
    const loaded = new Set<string>();
    const load = (file: string) => {
        if (loaded.has(file)) return;
        for (const other of needs.get(file) ?? []) load(other);
        loaded.add(file);
    };
    for (const name of bootModules) {
        const file = files.get(name);
        if (file !== undefined) load(file);
        else if (!builtIn.has(name)) return undefined;
    }
    return [...loaded].map((file) => join(folder, file));
}

function listFolder(folder: string): string[] {
    try {
        return readdirSync(folder);
    } catch {
        return [];
    }
}
