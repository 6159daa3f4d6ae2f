// Package incluster exercises what runs inside a cluster with the real programs in network namespaces: CoreDNS with the Corefile of the
// rendered ConfigMap, the agent in mode resolver, and the proxy image in mode pool with the environment of the rendered Deployment.
//
// It needs root, and what `make tools build image-local` leaves in .build. Figures are printed with -v; tests hold ratios and counts of
// failures, which a busy machine does not change, against bounds.
package incluster
