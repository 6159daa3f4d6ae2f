package stack

import "testing"

func TestKubernetesDefaults(t *testing.T) {
	k := read(t, "kubernetes-minimal").Kubernetes
	if k.Minor() != 36 || k.ClusterDomain != "cluster.local" || k.Mesh != nil {
		t.Errorf("got %+v", k)
	}
	if n := *k.NodeLocalDNS; n.KubeProxy != KubeProxyIPTables || n.Namespace != "kube-system" || n.Service != "kube-dns" || n.ServeStaleSeconds != 3600 {
		t.Errorf("nodeLocalDNS: got %+v", n)
	}
	if p := *k.Pool; p.MinReplicas != 3 || p.MaxReplicas != 9 || p.Namespace != "egress" || p.DrainSeconds != 30 || p.RequestsPerConnection != 1000 {
		t.Errorf("pool: got %+v", p)
	}
	if p := *k.PodDNS; p.API != "v1" || p.By != MeansPolicy || p.Ndots != 2 || !*p.SingleRequestReopen || *p.NodeLocal {
		t.Errorf("podDNS: got %+v", p)
	}
}

func TestAZoneLessStillHasTwoControllers(t *testing.T) {
	s := &Stack{Cluster: Cluster{Zones: []string{"a"}}, Kubernetes: &Kubernetes{Pool: &Pool{}}}
	s.Kubernetes.Pool.Defaults()
	s.deriveKubernetes()
	if p := s.Kubernetes.Pool; p.MinReplicas != 2 || p.MaxReplicas != 6 {
		t.Errorf("got %+v", p)
	}
}

func TestPodsAreSentToTheNodeWhereTheClusterDNSIsNotTakenOver(t *testing.T) {
	for mode, want := range map[KubeProxy]bool{KubeProxyIPTables: false, KubeProxyIPVS: true, KubeProxyNFTables: true} {
		s := &Stack{Kubernetes: &Kubernetes{NodeLocalDNS: &NodeLocalDNS{KubeProxy: mode}, PodDNS: &PodDNS{}}}
		s.deriveKubernetes()
		if got := *s.Kubernetes.PodDNS.NodeLocal; got != want {
			t.Errorf("%s: got %t, want %t", mode, got, want)
		}
	}
}
