package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
	"github.com/sallyport/sallyport/verify"
	"github.com/sallyport/sallyport/verify/gcpview"
)

const listed = "gcp:storage/bucketObject:BucketObject"

// project is a project that has what the graph asked for.
type project struct {
	*pulumitest.Recorder
	place gcpview.Place
}

func (p project) Addresses(context.Context, string) ([]verify.Address, error) {
	if p.place.Project == "" || p.place.Network == "" || p.place.Region == "" {
		return nil, fmt.Errorf("asked at %+v", p.place)
	}
	var all []verify.Address
	for _, name := range p.Names(address) {
		if p.Inputs(address, name)["addressType"] == "INTERNAL" {
			continue
		}
		ip, err := netip.ParseAddr(fmt.Sprint(world{}.outputs(address, name, resource.PropertyMap{})["address"]))
		if err != nil {
			return nil, err
		}
		all = append(all, verify.Address{IP: ip, ID: name, Name: strings.TrimPrefix(name, "externaladdress-address-")})
	}
	return all, nil
}

// secret is what is inside a value that the SDK takes for a secret: the content of every object.
func secret(value any) string {
	if wrapped, ok := value.(*resource.Secret); ok {
		return wrapped.Element.StringValue()
	}
	return fmt.Sprint(value)
}

func TestPartnersGetTheirListsAndANotice(t *testing.T) {
	r := mustDeploy(t, "gcp-prod", func(s *stack.Stack) {
		s.Allowlist.Publish = &stack.Publish{Access: stack.AccessPublic, Prefix: "lists/", Notices: true}
	}, nil)
	for partner, ips := range map[string]int{"payments": 7, "ledger": 7, "registry": 3} { // with headroom
		in := r.Inputs(listed, "allowlistpublish-object-"+partner+"-allowlist.json")
		document, err := allowlist.Parse([]byte(secret(in["content"])))
		if err != nil || len(document.Entries) != ips || strings.Join(document.Partners(), " ") != partner || in["name"] != "lists/"+partner+"/allowlist.json" {
			t.Errorf("%s: %v, %d IPs for %v as %v", partner, err, len(document.Entries), document.Partners(), in["name"])
		}
	}
	if in := r.Inputs("gcp:pubsub/topicIAMMember:TopicIAMMember", "allowlistpublish-publisher"); in["member"] != "serviceAccount:agent@example.com" {
		t.Errorf("%v", in)
	}
}

func TestWhatTheProjectDoesNotConfirmIsNotPublished(t *testing.T) {
	defer func(open func(context.Context, gcpview.Place) (verify.View, error)) { openView = open }(openView)
	openView = func(context.Context, gcpview.Place) (verify.View, error) {
		return nil, errors.New("compute.addresses.list is denied")
	}
	s := settings(t, "gcp-prod", func(s *stack.Stack) {
		s.Preflight = stack.PreflightOff
		s.Allowlist.Publish = &stack.Publish{Access: stack.AccessPrivate}
	})
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	recorder := pulumitest.New(world{}.outputs)
	err = recorder.Run("sallyport", "gcp-prod", t.TempDir(), nil, func(ctx *pulumi.Context) error { return Deploy(ctx, s, plan, &topology.Previous{}) })
	if err == nil || !strings.Contains(err.Error(), "allow list is not published\nthe cloud could not be asked: compute.addresses.list is denied") {
		t.Error(err)
	}
	for _, name := range recorder.Names(listed) {
		if strings.HasPrefix(name, "allowlistpublish-") {
			t.Errorf("published %s", name)
		}
	}
}
