package capacity

import (
	"fmt"
	"math"
)

// load is the offered load of one destination at one place: how many ports are in use there on average at peak.
type load struct {
	ports      float64
	arithmetic string
}

// offered applies Little's law to a destination: rate x share x (hold + TIME_WAIT) / addresses. Ports are counted per address
// and port of the destination, so what spreads over several addresses counts once for each of them. When requests share
// connections, connections close less often and TIME_WAIT weighs less; the time they are busy stays.
func (d Destination) offered(share float64, shareText string, timeWait float64) load {
	wait := timeWait / d.RequestsPerConnection
	waitText := number(timeWait) + " s"
	if d.RequestsPerConnection > 1 {
		waitText += " / " + number(d.RequestsPerConnection)
	}
	ports := d.ConnectionsPerSecond * share * (d.SecondsPerConnection + wait) / float64(d.Addresses)
	addresses := fmt.Sprintf("%d addresses", d.Addresses)
	if d.Addresses == 1 {
		addresses = "1 address"
	}
	return load{ports, fmt.Sprintf("%s/s%s x (%s s + %s) / %s = %s ports in use on average", number(d.ConnectionsPerSecond), shareText,
		number(d.SecondsPerConnection), waitText, addresses, number(ports))}
}

// upstreamRate is how many connections per second are opened to the destination.
func (d Destination) upstreamRate() float64 { return d.ConnectionsPerSecond / d.RequestsPerConnection }

// held is how many connections are open at once, on average at peak.
func (d Destination) held() float64 { return d.ConnectionsPerSecond * d.SecondsPerConnection }

// groups returns how many equal groups of ports carry a load when each connection keeps to the group it was sent to, given
// what one group carries: each group must hold its share by itself, which needs more than one large group would.
func groups(load, maxLoad float64) int {
	// A load that is an exact multiple must not be pushed over the edge by rounding.
	n := math.Ceil(load/maxLoad - 1e-9)
	return int(min(max(n, 1), 1<<40))
}
