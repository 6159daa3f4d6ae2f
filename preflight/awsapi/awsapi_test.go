package awsapi_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sallyport/sallyport/preflight"
	"github.com/sallyport/sallyport/preflight/awsapi"
)

func TestWhyACallFailed(t *testing.T) {
	code := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "No."} }
	for name, c := range map[string]struct {
		err      error
		why      preflight.Reason
		attempts int
		detail   string
	}{
		"EC2 refuses":             {code("UnauthorizedOperation"), preflight.Denied, 1, "UnauthorizedOperation: No"},
		"another service refuses": {code("AccessDeniedException"), preflight.Denied, 1, "AccessDeniedException: No"},
		"an old token":            {code("ExpiredToken"), preflight.Unauthorized, 1, "ExpiredToken: No"},
		"a region not opted in":   {code("OptInRequired"), preflight.Disabled, 1, "OptInRequired: No"},
		"too many calls":          {fmt.Errorf("operation: %w", &retry.MaxAttemptsError{Attempt: 5, Err: code("RequestLimitExceeded")}), preflight.Throttled, 5, "RequestLimitExceeded: No"},
		"something else":          {code("InternalError"), preflight.Failed, 1, "InternalError: No"},
		"no connection":           {&smithyhttp.RequestSendError{Err: errors.New("connection refused")}, preflight.Unreachable, 1, "connection refused"},
		"no name":                 {fmt.Errorf("lookup: %w", &net.DNSError{Err: "no such host", Name: "ec2.example"}), preflight.Unreachable, 1, "lookup: lookup ec2.example: no such host"},
		"no time left":            {fmt.Errorf("call: %w", context.DeadlineExceeded), preflight.Unreachable, 1, "call: context deadline exceeded"},
		"a bug":                   {errors.New("quota has no value"), preflight.Failed, 1, "quota has no value"},
	} {
		t.Run(name, func(t *testing.T) {
			err := awsapi.Wrap("eu-west-1", "ec2:DescribeVpcs", c.err)
			var refused *awsapi.Error
			if !errors.As(err, &refused) || !errors.Is(err, c.err) {
				t.Fatalf("got %v", err)
			}
			if r := refused.Refusal; r.Why != c.why || r.Attempts != c.attempts || r.Detail != c.detail || r.Place != "aws eu-west-1" || r.Action != "ec2:DescribeVpcs" {
				t.Errorf("got %+v", r)
			}
			var again *awsapi.Error
			if !errors.As(awsapi.Wrap("eu-west-1", "other", err), &again) || again != refused {
				t.Errorf("wrapped twice: %v", again)
			}
		})
	}
	if awsapi.Wrap("eu-west-1", "a", nil) != nil {
		t.Error("no error is none")
	}
	if !awsapi.IsCode(fmt.Errorf("x: %w", code("InvalidInstanceType")), "InvalidInstanceType") || awsapi.IsCode(errors.New("InvalidInstanceType"), "InvalidInstanceType") {
		t.Error("IsCode is wrong")
	}
}
