package nodelocaldns

import "errors"

// Refuse says whether the cache may be installed in a cluster that brings one itself, as GKE does in clusters made since 1.34: two caches
// would fight for one address and one interface on every node.
func Refuse(managed bool) error {
	if !managed {
		return nil
	}
	return errors.New("sallyport:kubernetes.nodeLocalDNS: must be left out in a GKE cluster with the managed cache " +
		"(addonsConfig.dnsCacheConfig.enabled), got {}; remove it, or switch the add-on off, which makes new nodes; " +
		"routing dns is not possible with the managed cache, routing mesh is")
}
