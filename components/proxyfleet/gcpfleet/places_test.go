package gcpfleet

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

const addressToken = "gcp:compute/address:Address"

func places(slots ...string) *PlacesArgs {
	args := &PlacesArgs{Stack: "prod", Project: "example-prod", Region: "europe-west1", Subnetwork: pulumi.String("https://example.com/fleet")}
	for _, slot := range slots {
		args.Slots = append(args.Slots, Place{Slot: slot, Zone: "europe-west1-b"})
	}
	return args
}

func runPlaces(t *testing.T, args *PlacesArgs) (*pulumitest.Recorder, error) {
	t.Helper()
	recorder := pulumitest.New(func(_, name string, _ resource.PropertyMap) map[string]any {
		return map[string]any{"selfLink": "https://example.com/" + name, "address": "10.0.128.7"}
	})
	return recorder, recorder.Run("sallyport", "prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		p, err := NewPlaces(ctx, "places", args)
		if err != nil {
			return err
		}
		for _, s := range args.Slots {
			if _, err := p.Get(s.Slot); err != nil {
				return err
			}
		}
		if _, err := p.Get("proxy-nowhere-1"); err == nil {
			t.Error("a slot that nobody declared was found")
		}
		return nil
	})
}

func TestTheGraphOfTwoPlaces(t *testing.T) {
	args := places("proxy-europe-west1-b-1", "proxy-europe-west1-b-2")
	args.Slots[1].Address = netip.MustParseAddr("10.0.128.9")
	recorder, err := runPlaces(t, args)
	if err != nil {
		t.Fatal(err)
	}
	graph, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "two-places.golden", graph)
}

func TestAPlaceMoreTouchesNoOther(t *testing.T) {
	two, err := runPlaces(t, places("proxy-a-1", "proxy-b-1"))
	if err != nil {
		t.Fatal(err)
	}
	three, err := runPlaces(t, places("proxy-0-1", "proxy-a-1", "proxy-b-1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range two.Names(addressToken) {
		if !reflect.DeepEqual(two.Inputs(addressToken, name), three.Inputs(addressToken, name)) {
			t.Errorf("%s changed", name)
		}
	}
}

func TestAllThatIsWrongWithPlacesIsSaidAtOnce(t *testing.T) {
	_, err := runPlaces(t, &PlacesArgs{Slots: []Place{{Slot: "a"}, {Slot: "a", Address: netip.MustParseAddr("2001:db8::1")}, {}}})
	for _, want := range []string{"stack: is required", "project: is required", "region: is required", "subnetwork: is required",
		"slots[1]: must have a name of its own", "slots[1].address: must be an IPv4", "slots[2]: must have a name"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}
