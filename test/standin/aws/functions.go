package aws

import (
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// functions are what programs ask the provider.
var functions = map[string]func(*tx, props) (props, error){
	"aws:index/getRegion:getRegion": always(func(tx *tx, _ props) props {
		return props{"id": tx.Region, "name": tx.Region, "description": tx.Region, "endpoint": "ec2." + tx.Region + ".amazonaws.com"}
	}),
	"aws:index/getPartition:getPartition": always(func(*tx, props) props {
		return props{"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}
	}),
	"aws:index/getCallerIdentity:getCallerIdentity": always(func(*tx, props) props {
		return props{"id": account, "accountId": account, "arn": "arn:aws:iam::" + account + ":user/tester", "userId": "AIDASTANDIN"}
	}),
	"aws:index/getAvailabilityZones:getAvailabilityZones": always(func(tx *tx, _ props) props {
		names := zones(tx)
		ids := make([]string, len(names))
		for i := range names {
			ids[i] = fmt.Sprintf("%s-az%d", tx.Region, i+1)
		}
		return props{"id": tx.Region, "names": engine.List(names...), "zoneIds": engine.List(ids...), "groupNames": engine.List(tx.Region)}
	}),
	"aws:index/getAvailabilityZone:getAvailabilityZone": func(tx *tx, args props) (props, error) {
		name := engine.Text(args, "name")
		if !contains(zones(tx), name) {
			return nil, fmt.Errorf("InvalidParameterValue: invalid availability zone: [%s]", name)
		}
		return props{"id": name, "name": name, "region": tx.Region, "nameSuffix": strings.TrimPrefix(name, tx.Region), "state": "available"}, nil
	},
	"aws:ssm/getParameter:getParameter": func(tx *tx, args props) (props, error) {
		name := engine.Text(args, "name")
		value := ""
		if o := tx.Find("aws:ssm/parameter:Parameter", name); o != nil {
			value = o.String("value")
		} else if strings.HasPrefix(name, "/aws/service/") { // AWS publishes the ids of its images there
			value = "ami-" + suffix(name) + "0"
		} else {
			return nil, fmt.Errorf("ParameterNotFound: %s", name)
		}
		return props{"id": name, "name": name, "value": value, "insecureValue": value, "type": "String", "version": 1.0,
			"arn": "arn:aws:ssm:" + tx.Region + "::parameter" + name}, nil
	},
	"aws:ec2/getAmi:getAmi": always(func(_ *tx, args props) props {
		id := "ami-" + suffix(fmt.Sprint(args["filters"], args["owners"], args["nameRegex"])) + "0"
		return props{"id": id, "imageId": id, "architecture": "x86_64", "rootDeviceName": "/dev/xvda", "name": "standin"}
	}),
	"aws:ec2/getPrefixList:getPrefixList": func(tx *tx, args props) (props, error) {
		name := engine.Text(args, "name")
		return props{"id": "pl-" + suffix(name)[:8], "prefixListId": "pl-" + suffix(name)[:8], "name": name, "cidrBlocks": engine.List("192.0.2.0/24")},
			requireRegion(tx, name)
	},
	"aws:ec2/getManagedPrefixList:getManagedPrefixList": always(func(_ *tx, args props) props {
		name := engine.Text(args, "name")
		return props{"id": "pl-" + suffix(name)[:8], "name": name, "arn": "arn:aws:ec2:::prefix-list/pl-" + suffix(name)[:8]}
	}),
	"aws:ec2/getVpc:getVpc":                           reading(vpcKind, "id"),
	"aws:ec2/getSubnet:getSubnet":                     reading(subnetKind, "id"),
	"aws:ec2/getRouteTable:getRouteTable":             reading(routeTableKind, "routeTableId"),
	"aws:ec2/getInternetGateway:getInternetGateway":   reading(internetKind, "internetGatewayId"),
	"aws:ec2/getNatGateway:getNatGateway":             reading(natKind, "id"),
	"aws:ec2/getSecurityGroup:getSecurityGroup":       reading(securityKind, "id"),
	"aws:ec2/getNetworkInterface:getNetworkInterface": reading(interfaceKind, "id"),
	"aws:ec2/getElasticIp:getElasticIp":               reading(eipKind, "id"),
	"aws:ecr/getRepository:getRepository":             reading(repositoryKind, "name"),
	"aws:s3/getBucket:getBucket":                      reading(bucketV2Kind, "bucket"),
	"aws:eks/getCluster:getCluster": always(func(tx *tx, args props) props {
		name := engine.Text(args, "name")
		return props{"id": name, "name": name, "endpoint": "https://" + suffix(name) + ".gr7." + tx.Region + ".eks.amazonaws.com",
			"certificateAuthorities": []any{props{"data": "c3RhbmRpbg=="}}, "version": "1.31"}
	}),
}

func requireRegion(tx *tx, name string) error {
	if name != "" && !strings.Contains(name, tx.Region) {
		return fmt.Errorf("InvalidPrefixListName.NotFound: %s is not of region %s", name, tx.Region)
	}
	return nil
}

// reading looks an object up by one of its properties. A lenient world knows no existing networks and takes the id at its word.
func reading(token, by string) func(*tx, props) (props, error) {
	return func(tx *tx, args props) (props, error) {
		value := engine.Text(args, by)
		if value == "" {
			return nil, fmt.Errorf("the stand-in looks %s up by %s only", noun(token), by)
		}
		property := by
		if by == "routeTableId" || by == "internetGatewayId" {
			property = "id"
		}
		o := tx.By(token, property, value)
		if o == nil && !tx.Settings.Lenient {
			return nil, tx.Package.Missing(tx.Package.Kinds[token], by, value)
		}
		out := props{"id": value, by: value}
		if o != nil {
			for key, v := range o.Props {
				out[key] = v
			}
			out["id"] = o.ID
		}
		return out, nil
	}
}

// always makes a function of one that cannot fail.
func always(answer func(*tx, props) props) func(*tx, props) (props, error) {
	return func(tx *tx, args props) (props, error) { return answer(tx, args), nil }
}
