package gcp

import (
	"fmt"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// members is a right of a member, none of which can change. The provider reads the policy, adds the member and writes it back: to give
// a right twice is to give it once.
func members(token, of, kindOf string) kind {
	k := kind{Token: token, Overwrites: true, ID: joined("/", of, "role", "member"), Replace: []string{"*"}}
	if kindOf != "" {
		k.Refs = []ref{{Path: of, Kinds: []string{kindOf}, Weak: true}}
	}
	return k
}

// byNumber makes an id that the cloud invents.
func byNumber(format string) func(*tx, props) string {
	return func(tx *tx, _ props) string { return fmt.Sprintf(format, tx.Project, engine.Hex(16)) }
}

// accessKinds are storage, identity and images.
func accessKinds() []kind {
	return []kind{
		{
			Token: bucketKind, Autoname: "name", NameLimit: 63, Tagged: true, ID: joined("", "name"), Replace: []string{"name", "location", "project", "enableObjectRetention"},
			Outputs: func(_ *tx, o, _ *object) { o.Props["url"] = "gs://" + o.ID },
			Delete: func(tx *tx, o *object) error {
				for inside := tx.By(bucketObjectKind, "bucket", o.ID); inside != nil; inside = tx.By(bucketObjectKind, "bucket", o.ID) {
					if !engine.Flag(o.Props, "forceDestroy") {
						return fmt.Errorf("googleapi: Error 409: The bucket you tried to delete is not empty, conflict (%s)", inside.ID)
					}
					tx.Remove(inside)
				}
				return nil
			},
		},
		{
			// That new content needs a new object is the cautious reading of the provider's documentation, which does not say; with
			// the name given, the old object is then deleted first. An upload replaces what has the name (Cloud Storage, "Objects:
			// insert", 2024-08).
			Token: bucketObjectKind, Overwrites: true, Autoname: "name", ID: joined("-", "bucket", "name"), Replace: []string{"bucket", "name", "content", "source", "contentType", "cacheControl", "metadata"},
			Refs: []ref{{Path: "bucket", Kinds: []string{bucketKind}, Weak: true}},
			Outputs: func(tx *tx, o, _ *object) {
				tx.Sequence++
				o.Props["generation"] = float64(tx.Sequence)
				o.Props["md5hash"] = suffix(o.String("content"))
				o.Props["selfLink"] = "https://www.googleapis.com/storage/v1/b/" + o.String("bucket") + "/o/" + o.String("name")
				o.Props["outputName"] = o.String("name")
			},
		},
		members("gcp:storage/bucketIAMMember:BucketIAMMember", "bucket", bucketKind),
		{
			Token: accountKind, ID: func(tx *tx, in props) string {
				return fmt.Sprintf("projects/%s/serviceAccounts/%s", project(tx, in), email(tx, in))
			},
			Replace: []string{"accountId", "project"},
			Outputs: func(tx *tx, o, _ *object) {
				o.Props["email"] = email(tx, o.Props)
				o.Props["member"], o.Props["name"] = "serviceAccount:"+email(tx, o.Props), o.ID
				o.Props["uniqueId"] = "1" + suffix(o.ID)
			},
		},
		members("gcp:serviceaccount/iAMMember:IAMMember", "serviceAccountId", accountKind),
		members("gcp:projects/iAMMember:IAMMember", "project", ""),
		{Token: "gcp:projects/iAMCustomRole:IAMCustomRole", ID: func(tx *tx, in props) string {
			return fmt.Sprintf("projects/%s/roles/%v", project(tx, in), in["roleId"])
		},
			Replace: []string{"roleId", "project"}, Sets: []string{"permissions"}, Outputs: func(_ *tx, o, _ *object) { o.Props["name"] = o.ID }},
		{Token: "gcp:projects/service:Service", ID: func(tx *tx, in props) string { return fmt.Sprintf("%s/%v", project(tx, in), in["service"]) }, Replace: []string{"service", "project"}},
		{
			Token: repositoryKind, Tagged: true, Replace: []string{"repositoryId", "location", "format", "mode", "project", "kmsKeyName"},
			ID: func(tx *tx, in props) string {
				return fmt.Sprintf("projects/%s/locations/%v/repositories/%v", project(tx, in), in["location"], in["repositoryId"])
			},
			Outputs: func(_ *tx, o, _ *object) { o.Props["name"] = o.Props["repositoryId"] },
		},
		members("gcp:artifactregistry/repositoryIamMember:RepositoryIamMember", "repository", ""),
	}
}

// serviceKinds are alerts, logs, DNS and messages.
func serviceKinds() []kind {
	return []kind{
		{
			Token: "gcp:monitoring/alertPolicy:AlertPolicy", ID: byNumber("projects/%s/alertPolicies/%s"), Replace: []string{"project"},
			Refs:    []ref{{Path: "notificationChannels[*]", Kinds: []string{channelKind}}},
			Outputs: func(_ *tx, o, _ *object) { o.Props["name"] = o.ID },
		},
		{Token: channelKind, ID: byNumber("projects/%s/notificationChannels/%s"), Replace: []string{"project"}, Outputs: func(_ *tx, o, _ *object) { o.Props["name"] = o.ID }},
		{Token: "gcp:monitoring/dashboard:Dashboard", ID: byNumber("projects/%s/dashboards/%s"), Replace: []string{"project"}},
		{Token: "gcp:monitoring/metricDescriptor:MetricDescriptor", ID: byNumber("projects/%s/metricDescriptors/%s"), Replace: []string{"*"}},
		{Token: "gcp:logging/metric:Metric", Autoname: "name", ID: joined("", "name"), Replace: []string{"name", "project"}},
		{
			Token: zoneKind, Autoname: "name", NameLimit: 63, Tagged: true, Replace: []string{"name", "dnsName", "project", "visibility"},
			ID: func(tx *tx, in props) string {
				return fmt.Sprintf("projects/%s/managedZones/%v", project(tx, in), in["name"])
			},
			Refs: []ref{{Path: "privateVisibilityConfig.networks[*].networkUrl", Kinds: []string{networkKind}}},
		},
		{Token: "gcp:dns/recordSet:RecordSet", ID: joined("/", "managedZone", "name", "type"), Replace: []string{"managedZone", "name", "project"}},
		{
			Token: responseKind, Replace: []string{"responsePolicyName", "project"},
			ID: func(tx *tx, in props) string {
				return fmt.Sprintf("projects/%s/responsePolicies/%v", project(tx, in), in["responsePolicyName"])
			},
			Refs: []ref{{Path: "networks[*].networkUrl", Kinds: []string{networkKind}}},
			Delete: func(tx *tx, o *object) error {
				if rule := tx.By("gcp:dns/responsePolicyRule:ResponsePolicyRule", "responsePolicy", o.String("responsePolicyName")); rule != nil {
					return tx.Package.InUse(o, rule)
				}
				return nil
			},
		},
		{Token: "gcp:dns/responsePolicyRule:ResponsePolicyRule", Replace: []string{"responsePolicy", "ruleName", "project"}, ID: func(tx *tx, in props) string {
			return fmt.Sprintf("projects/%s/responsePolicies/%v/rules/%v", project(tx, in), in["responsePolicy"], in["ruleName"])
		}},
		{Token: "gcp:pubsub/topic:Topic", Autoname: "name", Tagged: true, Replace: []string{"name", "project"}, ID: func(tx *tx, in props) string {
			return fmt.Sprintf("projects/%s/topics/%v", project(tx, in), in["name"])
		}},
	}
}

func email(tx *tx, in props) string {
	return fmt.Sprintf("%v@%s.iam.gserviceaccount.com", in["accountId"], project(tx, in))
}

// functions are what programs ask the provider.
var functions = map[string]func(*tx, props) (props, error){
	"gcp:organizations/getClientConfig:getClientConfig": always(func(tx *tx, _ props) props {
		return props{"id": tx.Project, "project": tx.Project, "region": tx.Region, "zone": tx.Region + "-a", "accessToken": "standin"}
	}),
	"gcp:organizations/getProject:getProject": always(func(tx *tx, args props) props {
		id := engine.Text(args, "projectId")
		if id == "" {
			id = tx.Project
		}
		return props{"id": "projects/" + id, "projectId": id, "number": "123456789012", "name": id}
	}),
	"gcp:compute/getZones:getZones": always(func(tx *tx, args props) props {
		place := engine.Text(args, "region")
		if place == "" {
			place = tx.Region
		}
		return props{"id": place, "region": place, "names": engine.List(place+"-a", place+"-b", place+"-c")}
	}),
	"gcp:compute/getImage:getImage": always(func(_ *tx, args props) props {
		family, owner := engine.Text(args, "family"), engine.Text(args, "project")
		name := engine.Text(args, "name")
		if name == "" {
			name = family + "-v1"
		}
		id := fmt.Sprintf("projects/%s/global/images/%s", owner, name)
		return props{"id": id, "name": name, "family": family, "project": owner, "selfLink": api + id}
	}),
	"gcp:compute/getNetwork:getNetwork": reading(networkKind, global("networks")), "gcp:compute/getSubnetwork:getSubnetwork": reading(subnetworkKind, regional("subnetworks")),
	"gcp:compute/getAddress:getAddress": reading(addressKind, regional("addresses")), "gcp:compute/getRouter:getRouter": reading(routerKind, regional("routers")),
	"gcp:container/getCluster:getCluster": always(func(tx *tx, args props) props {
		name := engine.Text(args, "name")
		return props{"id": name, "name": name, "location": args["location"], "endpoint": "192.0.2.10", "project": project(tx, args),
			"masterAuths": []any{props{"clusterCaCertificate": "c3RhbmRpbg=="}}, "addonsConfigs": []any{}}
	}),
}

// reading looks an object up by its name. A lenient world takes it at its word.
func reading(token string, id func(*tx, props) string) func(*tx, props) (props, error) {
	return func(tx *tx, args props) (props, error) {
		want := id(tx, args)
		o := tx.Find(token, want)
		if o == nil && !tx.Settings.Lenient {
			return nil, tx.Package.Missing(tx.Package.Kinds[token], "name", want)
		}
		out := props{"id": want, "name": args["name"], "selfLink": api + want}
		if o != nil {
			for key, value := range o.Props {
				out[key] = value
			}
		}
		return out, nil
	}
}

// always makes a function of one that cannot fail.
func always(answer func(*tx, props) props) func(*tx, props) (props, error) {
	return func(tx *tx, args props) (props, error) { return answer(tx, args), nil }
}
