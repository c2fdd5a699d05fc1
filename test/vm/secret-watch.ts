import type { LabHost } from "../../lab/index.js";

/** Looks at the arguments and the environment of all processes, for as long as it lives, for lines that it reads. */
const watcher = `import glob, signal, sys
words = [line.strip().encode() for line in sys.stdin if line.strip()]
found = set()
def end(*_):
    print(",".join(sorted(word.decode() for word in found)), flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, end)
open("/tmp/watcher.ready", "w").close()
while True:
    for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            continue
        found.update(word for word in words if word in data)
`;

/**
 * Watches the processes of a machine for words, until the function that it resolves to is called: that one resolves to the
 * words that were seen, with commas between.
 */
export async function watchGuest(machine: LabHost, words: readonly string[]) {
    await machine.exec("cat >/tmp/watcher.py", { stdin: watcher });
    const start = "python3 /tmp/watcher.py <&3 3<&- >/tmp/watcher.out 2>&1 & echo $!";
    const { stdout: pid } = await machine.exec(
        `cat >/tmp/watcher.in; exec 3</tmp/watcher.in; rm /tmp/watcher.in; ${start}`,
        { stdin: `${words.join("\n")}\n` },
    );
    await machine.exec("until [ -e /tmp/watcher.ready ]; do sleep 0.1; done");
    return async () => {
        const { stdout } = await machine.exec(
            `kill -TERM ${pid}; until [ -s /tmp/watcher.out ]; do sleep 0.1; done; cat /tmp/watcher.out; rm /tmp/watcher.*`,
        );
        return stdout;
    };
}

/** Files of a host that hold one of the words, and its journal if that does. */
export async function filesWith(machine: LabHost, words: readonly string[]): Promise<string[]> {
    const command =
        "cat >/tmp/words; journalctl -b --no-pager -o cat | grep -qFf /tmp/words && echo journal; grep -D skip -rlFf /tmp/words /run /var/lib/linuxnet /tmp 2>/dev/null; rm /tmp/words";
    const { stdout } = await machine.exec(command, { stdin: `${words.join("\n")}\n` });
    return stdout.split("\n").filter((path) => path !== "" && path !== "/tmp/words");
}
