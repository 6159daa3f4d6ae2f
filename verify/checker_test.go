package verify

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// fixed is a cloud that always says the same.
type fixed struct {
	addresses []Address
	err       error
}

func (f fixed) Addresses(context.Context, string) ([]Address, error) { return f.addresses, f.err }

func TestACheckerPassesOnlyWhatTheCloudConfirms(t *testing.T) {
	refused := errors.New("ec2:DescribeAddresses is denied")
	for name, test := range map[string]struct {
		cloud fixed
		want  string
	}{
		"it agrees":            {fixed{addresses: asListed()}, ""},
		"an IP is gone":        {fixed{addresses: asListed()[1:]}, "the cloud disagrees with it:\ncloud: 198.51.100.1 nat-a-1 is active"},
		"everything is gone":   {fixed{}, "198.51.100.7 proxy-c-1-1 is retired in the document and does not exist"},
		"it could not be read": {fixed{err: refused}, "the cloud could not be asked: ec2:DescribeAddresses is denied"},
	} {
		err := Checker(test.cloud, "prod")(context.Background(), document(t, 5))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}
