package verify

import (
	"context"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/components/allowlist"
)

// Checker returns a check that asks a cloud whether a document is true before it is published. Its error has a line for each
// disagreement, or says why the cloud could not be asked: what could not be checked is not published either.
func Checker(view View, stack string) func(context.Context, allowlist.Document) error {
	return func(ctx context.Context, d allowlist.Document) error {
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
}
