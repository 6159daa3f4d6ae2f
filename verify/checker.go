package verify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/internal/clock"
)

// patience are the pauses between the questions to a cloud that may not yet know of what was just changed: half a minute in all.
// Describe calls of EC2 are eventually consistent: "Eventual consistency", Amazon EC2 developer guide, 2026-11-20.
var patience = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second}

// fresh is how long after a document came into force the cloud may still be catching up with it.
const fresh = 10 * time.Minute

// Checker returns a check that asks a cloud whether a document is true before it is published. Its error has a line for each
// disagreement, or says why the cloud could not be asked: what could not be checked is not published either. A cloud that disagrees
// with a fresh document is asked again for half a minute.
func Checker(open func(context.Context) (View, error), stack string) func(context.Context, allowlist.Document) error {
	return func(ctx context.Context, d allowlist.Document) error {
		view, err := open(ctx)
		if err != nil {
			return fmt.Errorf("the cloud could not be asked: %w", err)
		}
		now, err := clock.Now()
		if err != nil {
			return err
		}
		pauses := patience
		if now.Sub(d.ValidFrom) > fresh {
			pauses = nil
		}
		for attempt := 0; ; attempt++ {
			err := ask(ctx, view, stack, d)
			if err == nil || attempt >= len(pauses) {
				return err
			}
			select {
			case <-ctx.Done():
				return err
			case <-time.After(pauses[attempt]):
			}
		}
	}
}

func ask(ctx context.Context, view View, stack string, d allowlist.Document) error {
	addresses, err := view.Addresses(ctx, stack)
	if err != nil {
		return fmt.Errorf("the cloud could not be asked: %w", err)
	}
	var lines []string
	for _, f := range Disagreements(Cloud(d, addresses)) {
		lines = append(lines, f.String())
	}
	if len(lines) == 0 {
		return nil
	}
	return fmt.Errorf("the cloud disagrees with it:\n%s", strings.Join(lines, "\n"))
}
