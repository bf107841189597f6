"""What runs on the one-node cluster, and how each part is configured: addresses and folder in, texts and commands out.

The node has a network namespace of its own, so that ports are the usual ones.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.cluster_network import Addresses

__all__ = [
    "ADMINISTRATOR",
    "NODE",
    "PAUSE_IMAGE",
    "Component",
    "Node",
    "components",
    "configuration_files",
    "manifests",
]

NODE = "scanplane-node"
PAUSE_IMAGE = "localhost/pause:test"
ADMINISTRATOR = "admin"
API_PORT = 6443
DNS_READY_PORT = 8181

USERS: Mapping[str, tuple[str, str]] = {
    ADMINISTRATOR: ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
    "coredns": ("system:coredns", ""),
}
"""Who has a kubeconfig: name of the file → user and group."""


@dataclass(frozen=True)
class Component:
    """One process of the node."""

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """All that configuration depends on."""

    folder: Path
    addresses: Addresses
    control_group: str
    binaries: Mapping[str, Path]
    plugins: Path
    """Where the CNI plugins are."""

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.addresses.node}:{API_PORT}"

    @property
    def containerd(self) -> Path:
        """Socket of containerd."""
        return self.folder / "containerd.sock"

    def kubeconfig(self, user: str) -> Path:
        """Return the path of the kubeconfig of one of the USERS."""
        return self.folder / "kubeconfigs" / user


def context_name(folder: Path) -> str:
    """Return what kubeconfigs call the cluster in *folder*."""
    return f"scanplane-{folder.name}"


def components(node: Node) -> dict[str, Component]:
    """Return every process in the order of starting: those up to kube-apiserver at once, the others when it is ready."""
    here, addresses = node.folder, node.addresses
    certificates = here / "certificates"
    bound = ["--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false"]
    commands = {
        "etcd": [
            "--data-dir=" + str(here / "etcd"),
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
        "containerd": ["--config=" + str(here / "containerd.toml")],
        "kube-apiserver": [
            "--etcd-servers=http://127.0.0.1:2379",
            f"--advertise-address={addresses.node}",
            f"--secure-port={API_PORT}",
            f"--tls-cert-file={certificates}/apiserver.crt",
            f"--tls-private-key-file={certificates}/apiserver.key",
            f"--client-ca-file={certificates}/ca.crt",
            f"--token-auth-file={here}/tokens.csv",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--service-cluster-ip-range={addresses.services}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={certificates}/service-accounts.key",
            f"--service-account-signing-key-file={certificates}/service-accounts.key",
            f"--kubelet-client-certificate={certificates}/apiserver-to-kubelet.crt",
            f"--kubelet-client-key={certificates}/apiserver-to-kubelet.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--allow-privileged=true",
            "--profiling=false",
        ],
        "kube-controller-manager": [
            f"--kubeconfig={node.kubeconfig('controller-manager')}",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={certificates}/service-accounts.key",
            f"--root-ca-file={certificates}/ca.crt",
            *bound,
        ],
        "kube-scheduler": [f"--kubeconfig={node.kubeconfig('scheduler')}", *bound],
        "kubelet": [
            f"--config={here}/kubelet.yaml",
            f"--kubeconfig={node.kubeconfig('kubelet')}",
            f"--hostname-override={NODE}",
            f"--node-ip={addresses.node}",
            f"--root-dir={here}/kubelet",
            f"--cert-dir={here}/kubelet/pki",
        ],
        "kube-proxy": [f"--config={here}/kube-proxy.yaml"],
        "coredns": [f"-conf={here}/Corefile"],
    }
    path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    return {name: Component([str(node.binaries[name]), *flags], path) for name, flags in commands.items()}


def configuration_files(node: Node) -> dict[str, str]:
    """Return path in the cluster's folder → text; those with secrets in them are the kubeconfigs and ``tokens.csv``."""
    tokens = {name: secrets.token_urlsafe(24) for name in USERS}
    files = {f"kubeconfigs/{name}": _kubeconfig(node, name, tokens[name]) for name in USERS}
    files["tokens.csv"] = "".join(
        f'{tokens[name]},{user},{user},"{group}"\n' if group else f"{tokens[name]},{user},{user}\n"
        for name, (user, group) in USERS.items()
    )
    files["containerd.toml"] = _containerd(node)
    files["cni/10-scanplane.conflist"] = _as_text(_pod_network(node))
    files["kubelet.yaml"] = _as_text(_kubelet(node))
    files["kube-proxy.yaml"] = _as_text(_kube_proxy(node))
    files["Corefile"] = _corefile(node)
    files["resolv.conf"] = ""
    return files


def _as_text(document: Mapping[str, Any]) -> str:
    """JSON is YAML too."""
    return json.dumps(document, indent=2) + "\n"


def _kubeconfig(node: Node, name: str, token: str) -> str:
    context = context_name(node.folder)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": context,
                "cluster": {"server": node.server, "certificate-authority": str(node.folder / "certificates/ca.crt")},
            }
        ],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": name}}],
        "current-context": context,
    }
    return _as_text(document)


def _containerd(node: Node) -> str:
    return f"""\
version = 2
root = "{node.folder}/containerd"
state = "/run/containerd"

[grpc]
  address = "{node.containerd}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Not every machine lets its root lower these, and none is needed here.
  restrict_oom_score_adj = true
  disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{node.plugins}"
  conf_dir = "{node.folder}/cni"
"""


def _pod_network(node: Node) -> dict[str, Any]:
    """A cable from each pod to the node, which routes: no bridge, and every packet passes kube-proxy's rules on both ways."""
    return {
        "cniVersion": "0.4.0",
        "name": "scanplane",
        "plugins": [
            {
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": node.addresses.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(node.folder / "cni-addresses"),
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet(node: Node) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(node.folder / "certificates/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{node.containerd}",
        "clusterDNS": [node.addresses.dns_service],
        "clusterDomain": "cluster.local",
        "resolvConf": str(node.folder / "resolv.conf"),
        "volumePluginDir": str(node.folder / "volume-plugins"),
        "podLogsDir": str(node.folder / "pod-logs"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.control_group}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "failCgroupV1": False,
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
        "featureGates": {"KubeletInUserNamespace": True},
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        # Images are loaded once and come from nowhere else.
        "imageGCHighThresholdPercent": 100,
        "imageMaximumGCAge": "0s",
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "syncFrequency": "10s",
    }


def _kube_proxy(node: Node) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(node.kubeconfig("proxy"))},
        "hostnameOverride": NODE,
        "mode": "iptables",
        "clusterCIDR": node.addresses.pods,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "iptables": {"minSyncPeriod": "100ms"},
        # These are settings of the whole machine.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def _corefile(node: Node) -> str:
    """No cache: a test that makes a Service asks for it in the same moment. Names of elsewhere do not exist, at once."""
    zones = "cluster.local in-addr.arpa ip6.arpa"
    return f"""\
{zones} {{
    bind {node.addresses.node}
    errors
    ready {node.addresses.node}:{DNS_READY_PORT}
    kubernetes {zones} {{
        kubeconfig {node.kubeconfig("coredns")} {context_name(node.folder)}
        ttl 0
    }}
}}
. {{
    bind {node.addresses.node}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def manifests(node: Node) -> list[dict[str, Any]]:
    """Return what the API server must hold before pods run: the DNS Service and the rights of the DNS server."""
    ports = (("dns", "UDP"), ("dns-tcp", "TCP"))
    return [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "system:coredns"},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["endpoints", "services", "pods", "namespaces"],
                    "verbs": ["list", "watch"],
                },
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "system:coredns"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:coredns"}],
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system"},
            "spec": {
                "clusterIP": node.addresses.dns_service,
                "ports": [{"name": name, "port": 53, "protocol": protocol} for name, protocol in ports],
            },
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns",
                "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": "kube-dns"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [node.addresses.node], "conditions": {"ready": True}}],
            "ports": [{"name": name, "port": 53, "protocol": protocol} for name, protocol in ports],
        },
    ]
