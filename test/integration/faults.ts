import type { LabHost } from "../../lab/index.js";

/**
 * What happens at a step of a transaction: it fails; its shell is killed instead of it, or once it is done. "Step": a
 * program that the script starts while it holds the lock.
 */
export const faults = ["fails", "kills before", "kills after"] as const;
/** "cuts": the processes that serve the connections are killed, the script goes on. */
export type Fault = (typeof faults)[number] | "cuts";

/** Where programs wait for their turn to fail. */
export interface FaultyHost extends AsyncDisposable {
    /** Lets the `step`th program (from 1) of each of the next `transactions` fail. */
    inject(fault: Fault, step: number, transactions: number): Promise<void>;
    /** Everything works again. How many faults happened since. */
    clear(): Promise<number>;
    /** Programs that one transaction starts, the longest of those that `work` makes. */
    countSteps(work: () => Promise<unknown>): Promise<number>;
}

const tools = ["ip", "nft", "bridge", "mv", "rm", "rmdir", "mkdir", "umount", "nsenter", "conntrack", "sync"];
const folder = "/run/lab/faults";

/** First in the PATH of the provider's scripts. A transaction is a shell with the lock on its descriptor 9. */
const wrapper = `#!/bin/sh
real=/usr/sbin/\${0##*/}
[ -x $real ] || real=/usr/bin/\${0##*/}
if [ ! -e ${folder}/fault ] || [ ! -e /proc/self/fd/9 ]; then exec $real "$@"; fi
n=0 left=0 step=0 fault=
[ -f ${folder}/$PPID ] && read -r n <${folder}/$PPID
n=$((n + 1))
echo $n >${folder}/$PPID
read -r step left fault <${folder}/fault
if [ $n -ne $step ] || [ $left -le 0 ]; then exec $real "$@"; fi
echo $step $((left - 1)) $fault >${folder}/fault
echo "\${0##*/} $*" >>${folder}/done
case $fault in
'kills before') kill -9 $PPID ;;
'kills after') $real "$@"; kill -9 $PPID ;;
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
    const set = (text: string) =>
        host.exec(`rm -rf ${folder}; mkdir ${folder}; : >${folder}/done; echo ${text} >${folder}/fault`);
    return {
        inject: async (fault, step, transactions) => void (await set(`${step} ${transactions} ${fault}`)),
        async clear() {
            const { stdout } = await host.exec(`rm -f ${folder}/fault; cat ${folder}/done 2>/dev/null | wc -l`);
            return Number(stdout);
        },
        async countSteps(work) {
            await set("0 0 none");
            await work();
            const { stdout } = await host.exec(
                `rm -f ${folder}/fault; cd ${folder}; cat $(ls | grep '^[0-9]') /dev/null`,
            );
            return Math.max(0, ...stdout.split("\n").map(Number));
        },
        [Symbol.asyncDispose]: async () => void (await host.exec(`umount /usr/local/sbin; rm -rf ${folder}`)),
    };
}
