package destinations

import (
	"strings"

	"github.com/sallyport/sallyport/internal/problem"
)

// Defaults fills in what a user may leave out. It lets the strict decoder tell a missing value from a zero.
func (d *Destination) Defaults() { d.Port, d.Route = DefaultPort, RouteNat }

// Defaults fills in what a user may leave out.
func (d *Demand) Defaults() {
	d.SecondsPerConnection, d.RequestsPerConnection, d.Addresses = 1, 1, 1
}

// DefaultPort is the port of a destination that names none.
const DefaultPort = 443

// Decode reads the list from a tree as [problem.ParseJSON] makes it, normalises and validates it. Every problem is recorded in
// list with a place that starts with place, for example "sallyport:destinations".
func Decode(place string, raw any, list *problem.List) []Destination {
	var ds []Destination
	problem.Decode(place, raw, &ds, list)
	Normalize(ds)
	Validate(place, ds, list)
	return ds
}

// Normalize writes names, hosts, routes and partners in lower case, in place: DNS does not tell the cases apart.
func Normalize(ds []Destination) {
	for i := range ds {
		d := &ds[i]
		d.Name, d.Partner = strings.ToLower(d.Name), strings.ToLower(d.Partner)
		d.Route = Route(strings.ToLower(string(d.Route)))
		for j, host := range d.Hosts {
			d.Hosts[j] = strings.ToLower(host)
		}
	}
}
