package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"

	"github.com/sallyport/sallyport/proxyimage/routes"
)

// Publication is a routes document with its number, as it is put into a bucket.
type Publication struct {
	// Text is the document.
	Text string
	// SHA256 is that of the document without the number: by it the next update tells whether anything changed.
	SHA256 string
	// Serial is the number.
	Serial uint64
}

// Publish numbers a document: its serial rises if and only if it differs from the one before. Previous is the last publication's
// Output, nil if there was none.
func Publish(document routes.Document, previous any) (Publication, error) {
	text, err := routes.Encode(&document)
	if err != nil {
		return Publication{}, fmt.Errorf("routes document: %w", err)
	}
	sum := sha256.Sum256(text)
	p := Publication{SHA256: hex.EncodeToString(sum[:])}
	if p.Serial, err = NextSerial(previous, map[string]any{"sha256": p.SHA256}); err != nil {
		return Publication{}, fmt.Errorf("routes document: %w", err)
	}
	document.Serial = p.Serial
	if text, err = routes.Encode(&document); err != nil {
		return Publication{}, fmt.Errorf("routes document: %w", err)
	}
	p.Text = string(text)
	return p, nil
}

// Output is what a stack exports of a publication and gives to the next Publish.
func (p Publication) Output() (any, error) {
	return JSONTree(map[string]any{"serial": p.Serial, "sha256": p.SHA256})
}

// Members are proxies with their addresses. Values hold, for each slot, its private address and then its public ones.
func Members(slots []Slot, publicIPs int, values []any) ([]routes.Proxy, error) {
	proxies := make([]routes.Proxy, len(slots))
	for i, slot := range slots {
		var ips []netip.Addr
		for _, value := range values[i*(publicIPs+1) : (i+1)*(publicIPs+1)] {
			ip, err := netip.ParseAddr(fmt.Sprint(value))
			if err != nil {
				return nil, fmt.Errorf("proxy %s: address: must be an IP address, got %q", slot.Name, value)
			}
			ips = append(ips, ip)
		}
		proxies[i] = routes.Proxy{Name: slot.Name, Zone: slot.Zone, Address: ips[0], PublicIPs: ips[1:]}
	}
	return proxies, nil
}
