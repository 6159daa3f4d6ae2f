package preflight_test

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/preflight"
)

func TestQuota(t *testing.T) {
	for name, c := range map[string]struct {
		limit, used, adds int
		want              string // part of the message; empty: it fits
	}{
		"an empty account":       {5, 0, 5, ""},
		"one more than there is": {5, 0, 6, "quota Q-1 is 5, in use 0 (0 of this stack), needed 6 more: 1 short; ask for 6: quota Q-1 at the desk; or go home"},
		"the last one":           {5, 4, 1, ""},
		"one too many":           {5, 4, 2, "needed 2 more: 1 short; ask for 6"},
		"a quota of nothing":     {0, 0, 1, "quota Q-1 is 0"},
		"nothing to add to a quota that was exceeded": {5, 9, 0, ""},
		"less than before":                            {5, 9, -2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var list problem.List
			preflight.Quota{Place: "aws: things", Code: "Q-1", Limit: c.limit, Used: c.used, Adds: c.adds, Raise: "the desk", Instead: "go home"}.Check(&list)
			switch err := list.Err(); {
			case c.want == "" && err != nil:
				t.Errorf("got %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestEveryReasonSaysWhatToDo(t *testing.T) {
	for reason, want := range map[preflight.Reason]string{
		preflight.Denied:        "aws eu-west-1: ec2:DescribeVpcs: permission denied: no; allow ec2:DescribeVpcs (ask the owner), or wait",
		preflight.Unauthorized:  "aws eu-west-1: the credentials are not accepted: no; renew them, or wait",
		preflight.NoCredentials: "aws eu-west-1: no credentials found: no; log in as for Pulumi's provider, or wait",
		preflight.Disabled:      "aws eu-west-1: the API is not enabled: no; enable it, or wait",
		preflight.Throttled:     "aws eu-west-1: ec2:DescribeVpcs: throttled, 3 attempts in vain: no; try again in some minutes, or wait",
		preflight.Unreachable:   "aws eu-west-1: the API cannot be reached: no; check the network and the proxy settings of this machine, or wait",
		preflight.Failed:        "aws eu-west-1: ec2:DescribeVpcs: failed: no; try again, or wait",
	} {
		r := preflight.Refusal{Place: "aws eu-west-1", Action: "ec2:DescribeVpcs", Why: reason, Attempts: 3, Detail: "no", Grant: "ask the owner"}
		var list problem.List
		r.Add(&list, "wait")
		if got := list.Err().Error(); got != want {
			t.Errorf("%s: got %s\nwant %s", reason, got, want)
		}
		if got := r.Error(); got != strings.TrimSuffix(want, ", or wait") {
			t.Errorf("%s: as an error: %s", reason, got)
		}
	}
}

func TestWhatIsTheSameForEveryCallIsSaidOnce(t *testing.T) {
	var list problem.List
	for _, action := range []string{"a", "b", "c"} {
		preflight.Refusal{Place: "aws eu-west-1", Action: action, Why: preflight.Unreachable}.Add(&list, "")
		preflight.Refusal{Place: "aws eu-west-1", Action: action, Why: preflight.Denied}.Add(&list, "")
	}
	if list.Len() != 4 {
		t.Errorf("got %d problems, want one for the network and one for each permission: %v", list.Len(), list.Err())
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                "",
		" two\n\tlines. ": "two lines",
		"a. Encoded authorization failure message: " + strings.Repeat("x", 900): "a",
		strings.Repeat("é", 200): strings.Repeat("é", 120) + "...",
	} {
		if got := preflight.OneLine(in); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
