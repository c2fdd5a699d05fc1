import type { LabHost } from "../../lab/index.js";

/**
 * What happens at a step (a program that a transaction's script starts while it holds the lock): it fails; the script is
 * killed instead of it, or once it is done; the remote shell is killed with the script; the processes of the ssh daemon
 * that serve the connections are killed, and the script goes on.
 */
export const faults = ["fails", "kills before", "kills after", "kills the shell", "cuts"] as const;
export type Fault = (typeof faults)[number];

/** A step that waits. */
export interface Pause {
    /** Whether the step was reached, as soon as it is; false after `clear`. */
    reached(): Promise<boolean>;
    resume(): Promise<void>;
}

/** Where programs wait for their turn to fail. */
export interface FaultyHost extends AsyncDisposable {
    /**
     * Lets the `step`th program (from 1) of each of the next `transactions` fail.
     * @param name counts only programs that are told of it, so that one object of several is hit
     */
    inject(fault: Fault, step: number, transactions: number, name?: string): Promise<void>;
    /** Lets the `step`th program (from 1) of the next transaction wait. */
    pause(step: number): Promise<Pause>;
    /** Everything works again. How many faults happened since. */
    clear(): Promise<number>;
    /** Programs that one transaction starts (and tells of `name`), the longest of those that `work` makes. */
    countSteps(work: () => Promise<unknown>, name?: string): Promise<number>;
}

const tools = ["ip", "nft", "bridge", "mv", "rm", "rmdir", "mkdir", "umount", "nsenter", "conntrack", "sync"];
const folder = "/run/lab/faults";

/** First in the PATH of the provider's scripts. A transaction is a shell with the lock on its descriptor 9. */
const wrapper = `#!/bin/sh
real=/usr/sbin/\${0##*/}
[ -x $real ] || real=/usr/bin/\${0##*/}
if [ ! -e ${folder}/fault ] || [ ! -e /proc/self/fd/9 ]; then exec $real "$@"; fi
n=0 left=0 step=0 fault= name=
run() {
    if [ -z "$name" ]; then exec $real "$@"; fi
    printf %s "\${input%.}" | $real "$@"
    exit
}
if [ -e ${folder}/name ]; then
    read -r name <${folder}/name
    input=$(cat; echo .)
    case $input$* in *$name*) ;; *) run "$@" ;; esac
fi
[ -f ${folder}/$PPID ] && read -r n <${folder}/$PPID
n=$((n + 1))
echo $n >${folder}/$PPID
read -r step left fault <${folder}/fault
if [ $n -ne $step ] || [ $left -le 0 ]; then run "$@"; fi
echo $step $((left - 1)) $fault >${folder}/fault
echo "\${0##*/} $*" >>${folder}/done
case $fault in
'kills before') kill -9 $PPID ;;
'kills after') $real "$@"; kill -9 $PPID ;;
'kills the shell') read -r _ _ _ shell _ </proc/$PPID/stat; kill -9 $shell $PPID ;;
pauses)
    : >${folder}/reached
    until [ -e ${folder}/go ]; do sleep 0.01; done
    exec $real "$@"
    ;;
cuts)
    kill -9 $(ps -e -o pid=,args= | sed -n 's/^ *\\([0-9]*\\) sshd: [a-z].*/\\1/p')
    exec $real "$@"
    ;;
*) cat >/dev/null; echo 'a fault was injected' >&2 ;;
esac
exit 1
`;

/** Puts a wrapper before the programs that transactions use, seen by this host only. */
export async function layFaults(host: LabHost): Promise<FaultyHost> {
    await host.exec(
        `mount -t tmpfs tmpfs /usr/local/sbin && mkdir -p ${folder} && cat >/usr/local/sbin/wrapper
        chmod 755 /usr/local/sbin/wrapper; cd /usr/local/sbin; for t in ${tools.join(" ")}; do ln -s wrapper $t; done`,
        { stdin: wrapper },
    );
    const set = (text: string, name?: string) =>
        host.exec(`rm -rf ${folder}; mkdir ${folder}; : >${folder}/done
            ${name === undefined ? ":" : `echo ${name} >${folder}/name`}; echo ${text} >${folder}/fault`);
    return {
        inject: async (fault, step, transactions, name) => void (await set(`${step} ${transactions} ${fault}`, name)),
        async pause(step) {
            await set(`${step} 1 pauses`);
            return {
                async reached() {
                    const { stdout } = await host.exec(
                        `until [ -e ${folder}/reached ] || [ ! -e ${folder}/fault ]; do sleep 0.01; done; ls ${folder}`,
                    );
                    return stdout.includes("reached");
                },
                resume: async () => void (await host.exec(`: >${folder}/go`)),
            };
        },
        async clear() {
            const { stdout } = await host.exec(`rm -f ${folder}/fault; cat ${folder}/done 2>/dev/null | wc -l`);
            return Number(stdout);
        },
        async countSteps(work, name) {
            await set("0 0 none", name);
            await work();
            const { stdout } = await host.exec(
                `rm -f ${folder}/fault; cd ${folder}; cat $(ls | grep '^[0-9]') /dev/null`,
            );
            return Math.max(0, ...stdout.split("\n").map(Number));
        },
        [Symbol.asyncDispose]: async () => void (await host.exec(`umount /usr/local/sbin; rm -rf ${folder}`)),
    };
}
