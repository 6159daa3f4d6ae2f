package delay

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/sallyport/sallyport/lab/labtest"
	"github.com/sallyport/sallyport/lab/namespace"
)

func TestLinkDelaysPackets(t *testing.T) {
	l := labtest.New(t)
	labtest.Must(t, namespace.Create(l.ID, "near"), namespace.Create(l.ID, "far"))
	link, err := Start(10*time.Millisecond, [2]End{
		{Namespace: l.Name("near"), Address: netip.MustParseAddr("198.51.100.1"), Peer: netip.MustParsePrefix("203.0.113.0/24")},
		{Namespace: l.Name("far"), Address: netip.MustParseAddr("203.0.113.10"), Peer: netip.MustParsePrefix("198.51.100.0/24")},
	})
	labtest.Must(t, err)
	labtest.Serve(t, l.Name("far"), "203.0.113.10:80")
	begin := time.Now()
	conn, err := namespace.Dial(context.Background(), l.Name("near"), "tcp4", "203.0.113.10:80")
	labtest.Must(t, err)
	if took := time.Since(begin); took < 20*time.Millisecond || took > 200*time.Millisecond {
		t.Errorf("connected after %s, want a little more than 20 ms", took)
	}
	conn.Close()
	labtest.Must(t, link.Close())
	if _, err := namespace.Addresses(l.Name("near"), device); err == nil {
		t.Error("the device is still there")
	}
}
