import { readFileSync } from "node:fs";
import { basename } from "node:path";

/** A file of an archive. */
export type ArchiveFile = { readonly path: string; readonly content: string | Buffer; readonly mode?: number };

/**
 * Packs files into the archive that a kernel unpacks as its first root file system.
 * @see https://docs.kernel.org/driver-api/early-userspace/buffer-format.html ("newc")
 */
export function packInitramfs(files: readonly ArchiveFile[]): Buffer {
    const folders = new Set<string>();
    for (const { path } of files) {
        const parts = path.split("/").slice(0, -1);
        parts.forEach((_, i) => {
            folders.add(parts.slice(0, i + 1).join("/"));
        });
    }
    const entries = [
        ...[...folders].map((path) => packEntry(path, 0o040755, "")),
        ...files.map(({ path, mode = 0o644, content }) => packEntry(path, 0o100000 | mode, content)),
        packEntry("TRAILER!!!", 0, ""),
    ];
    return Buffer.concat(entries);
}

/** A program of this machine with the libraries it is linked to, under their own paths. */
export async function packProgram(path: string): Promise<ArchiveFile[]> {
    const { execa } = await import("execa");
    // A program without libraries is an error for ldd(1).
    const { stdout } = await execa("ldd", [path], { reject: false });
    const libraries = stdout.split("\n").flatMap((line) => /(\/\S+) \(0x[0-9a-f]+\)$/.exec(line)?.[1] ?? []);
    return [path, ...libraries].map((file) => ({ path: file.slice(1), content: readFileSync(file), mode: 0o755 }));
}

/** The modules' files, and their names in the order of loading as `modules/order`. */
export function packModules(files: readonly string[]): ArchiveFile[] {
    return [
        { path: "modules/order", content: files.map((file) => `${basename(file)}\n`).join("") },
        ...files.map((file) => ({ path: `modules/${basename(file)}`, content: readFileSync(file) })),
    ];
}

let inode = 0;

function packEntry(path: string, mode: number, content: string | Buffer): Buffer {
    const bytes = Buffer.from(content);
    const name = Buffer.from(`${path}\0`);
    inode += 1;
    const [user, group, links, time, device, check] = [0, 0, 1, 0, 0, 0];
    const numbers = [inode, mode, user, group, links, time, bytes.length];
    const places = [device, device, device, device, name.length, check];
    const header = [...numbers, ...places].map((number) => number.toString(16).padStart(8, "0")).join("");
    return Buffer.concat([padded(Buffer.concat([Buffer.from(`070701${header}`), name])), padded(bytes)]);
}

/** Everything begins at a multiple of four bytes. */
function padded(bytes: Buffer): Buffer {
    return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
