package awsview

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"

	"github.com/sallyport/sallyport/preflight/awsapi"
)

const (
	// apiVersion is that of the EC2 query API: Amazon EC2 API reference, 2026-09-26.
	apiVersion = "2016-11-15"
	// maxAnswer bounds an answer: an address takes about 1 KiB.
	maxAnswer = 32 << 20
	// attempts and timeout bound a call.
	attempts = 4
	timeout  = 15 * time.Second
)

// query calls the EC2 query API with the credentials and the signer of the AWS SDK. Its package for EC2 is left out: it alone takes longer
// to compile than everything else that the command line needs, and two reads use nothing of it.
func (v *View) query(ctx context.Context, action string, parameters url.Values, into any) error {
	body := url.Values{"Action": {action}, "Version": {apiVersion}}
	for key, values := range parameters {
		body[key] = values
	}
	var err error
	for attempt := range attempts {
		if attempt > 0 {
			select {
			case <-ctx.Done():
				return awsapi.Wrap(v.region, "ec2:"+action, ctx.Err())
			case <-time.After(time.Duration(attempt*attempt) * 200 * time.Millisecond):
			}
		}
		var again bool
		if again, err = v.call(ctx, []byte(body.Encode()), into); err == nil {
			return nil
		} else if !again {
			break
		}
	}
	return awsapi.Wrap(v.region, "ec2:"+action, err)
}

// call makes one attempt, and says whether another one may help.
func (v *View) call(ctx context.Context, body []byte, into any) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, v.endpoint, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	credentials, err := v.config.Credentials.Retrieve(ctx)
	if err != nil {
		return false, err
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(hash[:]), "ec2", v.region, time.Now()); err != nil {
		return false, err
	}
	response, err := v.config.HTTPClient.Do(request)
	if err != nil {
		return true, err
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return true, err
	}
	if len(answer) > maxAnswer {
		return false, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	if response.StatusCode != http.StatusOK {
		return refusal(response.StatusCode, answer)
	}
	return false, xml.Unmarshal(answer, into)
}

// refusal reads why EC2 did not answer.
func refusal(status int, answer []byte) (again bool, err error) {
	var said struct {
		Errors []struct {
			Code    string `xml:"Code"`
			Message string `xml:"Message"`
		} `xml:"Errors>Error"`
	}
	if xml.Unmarshal(answer, &said) != nil || len(said.Errors) == 0 {
		return status >= 500, &smithy.GenericAPIError{Code: fmt.Sprint(status), Message: http.StatusText(status)}
	}
	first := said.Errors[0]
	again = status >= 500 || first.Code == "RequestLimitExceeded" || first.Code == "Throttling"
	return again, &smithy.GenericAPIError{Code: first.Code, Message: first.Message}
}

// endpointOf is where EC2 is: what the environment says, or the region's own.
func endpointOf(config aws.Config, region string) (string, error) {
	for _, text := range []string{os.Getenv("AWS_ENDPOINT_URL_EC2"), aws.ToString(config.BaseEndpoint)} {
		if text == "" {
			continue
		}
		address, err := url.Parse(text)
		if err != nil || address.Host == "" {
			return "", errors.New("AWS_ENDPOINT_URL: must be a URL")
		}
		if address.Path == "" {
			address.Path = "/"
		}
		return address.String(), nil
	}
	suffix := "amazonaws.com"
	if len(region) > 3 && region[:3] == "cn-" {
		suffix = "amazonaws.com.cn"
	}
	return "https://ec2." + region + "." + suffix + "/", nil
}
