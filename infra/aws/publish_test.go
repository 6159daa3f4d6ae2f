package aws

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/internal/minisign"
	"github.com/sallyport/sallyport/verify"
)

const listed = "aws:s3/bucketObjectv2:BucketObjectv2"

// denied is what an account says that answers nothing; nil for one that does.
var denied error

// account is an account that has what the graph asked for.
type account struct{ *pulumitest.Recorder }

func (a account) Addresses(context.Context, string) ([]verify.Address, error) {
	var all []verify.Address
	for _, name := range a.Names(eip) {
		ip, err := netip.ParseAddr(fmt.Sprint(world{}.outputs(eip, name, resource.PropertyMap{})["publicIp"]))
		if err != nil {
			return nil, err
		}
		all = append(all, verify.Address{IP: ip, ID: name, Name: strings.TrimPrefix(name, "elasticip-address-")})
	}
	return all, nil
}

// signingKey makes a key, names it to the program, and returns its public half.
func signingKey(t *testing.T) minisign.PublicKey {
	t.Helper()
	key, err := minisign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := key.File(nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(allowlist.SigningKeyEnv, file)
	return key.Public()
}

func TestPartnersGetTheirSignedListsWhenEverythingIsInPlace(t *testing.T) {
	key := signingKey(t)
	r := mustDeploy(t, "aws-prod", func(s *stack.Stack) {
		s.Allowlist.Publish = &stack.Publish{Access: stack.AccessPrivate, Prefix: "lists/", PublicKey: key.String()}
	})
	for partner, ips := range map[string]int{"payments": 7, "ledger": 7, "registry": 4} { // with headroom
		at := func(name string) string {
			in := r.Inputs(listed, "allowlistpublish-object-"+partner+"-"+name)
			if in["key"] != "lists/"+partner+"/"+name {
				t.Fatalf("%s %s: %v", partner, name, in)
			}
			return fmt.Sprint(in["content"])
		}
		text := at("allowlist.json")
		document, err := allowlist.Parse([]byte(text))
		if err != nil || len(document.Entries) != ips || strings.Join(document.Partners(), " ") != partner {
			t.Errorf("%s: %v, %d IPs for %v", partner, err, len(document.Entries), document.Partners())
		}
		if comment, err := key.Verify([]byte(text), []byte(at("allowlist.json.minisig"))); err != nil || !strings.Contains(comment, "stack:aws-prod") {
			t.Errorf("%s: %s, %v", partner, comment, err)
		}
		if networks := at("allowlist.txt"); !strings.Contains(networks, "/32\n") {
			t.Errorf("%s: %s", partner, networks)
		}
	}
}

func TestWhatTheAccountDoesNotConfirmIsNotPublished(t *testing.T) {
	defer func() { denied = nil }()
	denied = errors.New("ec2:DescribeAddresses is denied")
	publish := func(s *stack.Stack) { s.Allowlist.Publish = &stack.Publish{Access: stack.AccessPrivate} }
	r, err := deploy(t, "aws-prod", settings(t, "aws-prod", publish), nil)
	if !errors.Is(err, denied) && (err == nil || !strings.Contains(err.Error(), "allow list is not published\nthe cloud could not be asked: ec2:DescribeAddresses is denied")) {
		t.Error(err)
	}
	for _, name := range r.Names(listed) {
		if strings.HasPrefix(name, "allowlistpublish-") {
			t.Errorf("published %s", name)
		}
	}
}

// A key that is wrong or missing is found before anything is made.
func TestTheSigningKeyIsOpenedFirst(t *testing.T) {
	key := signingKey(t)
	other := signingKey(t)
	for name, want := range map[string]string{"": "must name the file of the secret key of " + key.String(), os.Getenv(allowlist.SigningKeyEnv): "must be the secret key of " + key.String() + ", got that of " + other.String()} {
		t.Setenv(allowlist.SigningKeyEnv, name)
		s := settings(t, "aws-prod", func(s *stack.Stack) {
			s.Allowlist.Publish = &stack.Publish{Access: stack.AccessPrivate, PublicKey: key.String()}
		})
		r, err := deploy(t, "aws-prod", s, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if graph, _ := r.Graph(); graph != "" {
			t.Errorf("resources were made:\n%s", graph)
		}
	}
}
