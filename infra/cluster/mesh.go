package cluster

import (
	"errors"

	"github.com/sallyport/sallyport/components/stack"
)

// createMesh makes the mesh's objects. The input is all there: d.section.Mesh, d.documents (the proxies with zone and address),
// d.Settings.Destinations.
func (d *deployment) createMesh() error {
	if d.section.Routing != stack.RoutingMesh {
		return nil
	}
	return errors.New("sallyport:kubernetes.routing: must not be mesh in this release, which has no objects for Istio, got \"mesh\"; use dns or none")
}
