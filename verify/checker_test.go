package verify

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/clock"
)

// cloud answers in turn, and then as it did last.
type cloud struct {
	answers []answer
	asked   int
}

type answer struct {
	addresses []Address
	err       error
}

func (c *cloud) Addresses(context.Context, string) ([]Address, error) {
	a := c.answers[min(c.asked, len(c.answers)-1)]
	c.asked++
	return a.addresses, a.err
}

func (c *cloud) open(context.Context) (View, error) { return c, nil }

func TestACheckerPassesOnlyWhatTheCloudConfirms(t *testing.T) {
	defer func(pauses []time.Duration) { patience = pauses }(patience)
	patience = []time.Duration{1, 1, 1}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	t.Setenv(clock.Env, now.Format(time.RFC3339))
	refused := errors.New("ec2:DescribeAddresses is denied")
	gone := answer{addresses: asListed()[1:]}
	for name, test := range map[string]struct {
		answers []answer
		age     time.Duration
		want    string
		asked   int
	}{
		"it agrees":               {[]answer{{addresses: asListed()}}, 0, "", 1},
		"an IP is gone":           {[]answer{gone}, 0, "the cloud disagrees with it:\ncloud: 198.51.100.1 nat-a-1 is active", 4},
		"everything is gone":      {[]answer{{}}, 0, "198.51.100.7 proxy-c-1-1 is retired in the document and does not exist", 4},
		"it could not be read":    {[]answer{{err: refused}}, 0, "the cloud could not be asked: ec2:DescribeAddresses is denied", 4},
		"it catches up":           {[]answer{gone, {err: refused}, {addresses: asListed()}}, 0, "", 3},
		"it has had time enough":  {[]answer{gone, {addresses: asListed()}}, 24 * time.Hour, "the cloud disagrees with it:", 1},
		"an old document is true": {[]answer{{addresses: asListed()}}, 24 * time.Hour, "", 1},
	} {
		d := document(t, 5)
		d.ValidFrom = now.Add(-test.age)
		c := &cloud{answers: test.answers}
		err := Checker(c.open, "prod")(context.Background(), d)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		if c.asked != test.asked {
			t.Errorf("%s: asked %d times, want %d", name, c.asked, test.asked)
		}
	}
	denied := func(context.Context) (View, error) { return nil, refused }
	if err := Checker(denied, "prod")(context.Background(), document(t, 5)); !errors.Is(err, refused) {
		t.Error(err)
	}
}
