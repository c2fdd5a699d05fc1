/** Programs that make interfaces and namespaces, and how they call them. */
const makers: readonly (readonly [RegExp, string])[] = [
    [/^(docker\d+|docker_gwbridge|br-[0-9a-f]{12})$/, "Docker"],
    [/^(virbr\d+(-nic)?|vnet\d+)$/, "libvirt"],
    [/^(podman\d+|cni-podman\d+)$/, "Podman"],
    [/^(incusbr|lxdbr)\d+$/, "Incus or LXD"],
    [/^lxcbr\d+$/, "LXC"],
    [/^(cni\d+|flannel\.\d+|kube-bridge|kube-ipvs0|cali[0-9a-f]{11}|cilium_\w+)$/, "Kubernetes"],
    [/^(vmbr\d+|fwbr\d+i\d+)$/, "Proxmox"],
    [/^(cni|netns)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "Podman or another user of CNI"],
    [/^q(dhcp|router)-[0-9a-f-]{36}$/, "OpenStack Neutron"],
    [/^tailscale\d+$/, "Tailscale"],
];

/** Whose an interface or a namespace is, as far as its name tells. */
export function makerByName(name: string): string | undefined {
    return makers.find(([pattern]) => pattern.test(name))?.[1];
}

/** ` of Docker`, or nothing when the name does not tell. */
export function ofMaker(name: string): string {
    const maker = makerByName(name);
    return maker === undefined ? "" : ` of ${maker}`;
}
