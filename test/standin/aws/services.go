package aws

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// serviceKinds are identity, alarms, messages and the other small services around a fleet.
func serviceKinds() []kind {
	return append(identityKinds(), []kind{
		{Token: "aws:cloudwatch/metricAlarm:MetricAlarm", ID: byProperty("name"), Autoname: "name", Tagged: true, Replace: []string{"name"},
			Sets: []string{"alarmActions", "okActions", "insufficientDataActions"},
			Refs: []ref{
				{Path: "alarmActions[*]", Kinds: []string{topicKind, scalePolicyKind, functionKind}, Attr: "arn", Weak: true},
				{Path: "okActions[*]", Kinds: []string{topicKind, scalePolicyKind, functionKind}, Attr: "arn", Weak: true},
			}},
		{Token: "aws:cloudwatch/compositeAlarm:CompositeAlarm", ID: byProperty("alarmName"), Tagged: true, Replace: []string{"alarmName"}},
		{Token: "aws:cloudwatch/dashboard:Dashboard", ID: byProperty("dashboardName"), Replace: []string{"dashboardName"}, Legal: isJSON("dashboardBody")},
		{Token: logGroupKind, ID: byProperty("name"), Autoname: "name", NameLimit: 512, Tagged: true, Replace: []string{"name", "namePrefix", "logGroupClass"}},
		{Token: "aws:cloudwatch/logMetricFilter:LogMetricFilter", ID: byProperty("name"), Autoname: "name", Replace: []string{"name", "logGroupName"},
			Refs: []ref{{Path: "logGroupName", Kinds: []string{logGroupKind}, Weak: true}}},
		{Token: ruleKind, ID: byProperty("name"), Autoname: "name", NameLimit: 64, Tagged: true, Replace: []string{"name", "namePrefix", "eventBusName"}},
		{Token: "aws:cloudwatch/eventTarget:EventTarget", ID: joined("-", "rule", "arn"), Replace: []string{"rule", "targetId", "eventBusName"},
			Refs: []ref{{Path: "rule", Kinds: []string{ruleKind}}}},
		{
			Token: topicKind, Autoname: "name", NameLimit: 256, Tagged: true, NotFound: "NotFound", Replace: []string{"name", "namePrefix", "fifoTopic"},
			ID: func(tx *tx, in props) string {
				return fmt.Sprintf("arn:aws:sns:%s:%s:%v", tx.Region, account, in["name"])
			},
		},
		{Token: "aws:sns/topicSubscription:TopicSubscription", Replace: []string{"topic", "protocol", "endpoint"},
			ID: func(_ *tx, in props) string {
				return engine.Text(in, "topic") + ":" + suffix(engine.Text(in, "endpoint"))
			},
			Refs: []ref{{Path: "topic", Kinds: []string{topicKind}, Weak: true}}},
		{Token: "aws:sns/topicPolicy:TopicPolicy", ID: byProperty("arn"), Replace: []string{"arn"}, Legal: isJSON("policy"),
			Refs: []ref{{Path: "arn", Kinds: []string{topicKind}, Weak: true}}},
		{
			Token: queueKind, Autoname: "name", NameLimit: 80, Tagged: true, Replace: []string{"name", "namePrefix", "fifoQueue"},
			ID: func(tx *tx, in props) string {
				return fmt.Sprintf("https://sqs.%s.amazonaws.com/%s/%v", tx.Region, account, in["name"])
			},
			Outputs: func(_ *tx, o, _ *object) { o.Props["url"] = o.ID },
		},
		{Token: "aws:sqs/queuePolicy:QueuePolicy", ID: byProperty("queueUrl"), Replace: []string{"queueUrl"}, Legal: isJSON("policy"), Refs: []ref{{Path: "queueUrl", Kinds: []string{queueKind}, Weak: true}}},
		{Token: "aws:ssm/parameter:Parameter", ID: byProperty("name"), Autoname: "name", Tagged: true, Replace: []string{"name"}},
		{Token: "aws:ssm/document:Document", ID: byProperty("name"), Autoname: "name", Tagged: true, Replace: []string{"name", "documentType"}},
		{Token: keyKind, Prefix: "", Tagged: true, Outputs: func(_ *tx, o, _ *object) { o.Props["keyId"] = o.ID }},
		{Token: "aws:kms/alias:Alias", ID: byProperty("name"), Autoname: "name", Replace: []string{"name"}},
		{
			Token: functionKind, ID: byProperty("name"), Autoname: "name", NameLimit: 64, Tagged: true, Replace: []string{"name", "packageType"},
			Refs: []ref{{Path: "role", Kinds: []string{roleKind}, Attr: "arn", Weak: true}},
		},
		{Token: "aws:lambda/permission:Permission", ID: joined("-", "function", "statementId"), Autoname: "statementId", Replace: []string{"action", "function", "principal", "sourceArn", "statementId", "qualifier"}},
	}...)
}

func identityKinds() []kind {
	return []kind{
		{
			Token: roleKind, ID: byProperty("name"), Autoname: "name", NameLimit: 64, Tagged: true, NotFound: "NoSuchEntity",
			Replace: []string{"name", "namePrefix", "path"}, Legal: isJSON("assumeRolePolicy"), Sets: []string{"managedPolicyArns"},
			Outputs: func(_ *tx, o, _ *object) { o.Props["uniqueId"] = "AROA" + strings.ToUpper(suffix(o.ID)) },
		},
		{
			Token: "aws:iam/rolePolicy:RolePolicy", ID: joined(":", "role", "name"), Autoname: "name", NameLimit: 128, NotFound: "NoSuchEntity",
			Replace: []string{"name", "namePrefix", "role"}, Legal: isJSON("policy"), Refs: []ref{{Path: "role", Kinds: []string{roleKind}}},
		},
		{
			Token: policyKind, Autoname: "name", NameLimit: 128, Tagged: true, NotFound: "NoSuchEntity",
			ID: func(_ *tx, in props) string {
				return fmt.Sprintf("arn:aws:iam::%s:policy%s%v", account, pathOr(engine.Text(in, "path")), in["name"])
			},
			Replace: []string{"name", "namePrefix", "path", "description"}, Legal: isJSON("policy"),
		},
		{
			Token: "aws:iam/rolePolicyAttachment:RolePolicyAttachment", ID: joined("-", "role", "policyArn"), Replace: []string{"role", "policyArn"},
			Refs: []ref{{Path: "role", Kinds: []string{roleKind}}}, Rules: []func(*tx, *object, *object) error{func(tx *tx, o, _ *object) error {
				arn := o.String("policyArn")
				if managed := strings.HasPrefix(arn, "arn:aws:iam::aws:policy/"); !managed && tx.By(policyKind, "arn", arn) == nil && !tx.Settings.Lenient {
					return fmt.Errorf("NoSuchEntity: policy %s does not exist or is not attachable", arn)
				}
				return nil
			}},
		},
		{
			Token: profileKind, ID: byProperty("name"), Autoname: "name", NameLimit: 128, Tagged: true, NotFound: "NoSuchEntity",
			Replace: []string{"name", "namePrefix", "path"}, Refs: []ref{{Path: "role", Kinds: []string{roleKind}}},
		},
	}
}

// isJSON refuses text that is no JSON, as the provider does at preview.
func isJSON(property string) func(props) []string {
	return func(in props) []string {
		text, ok := in[property].(string)
		if !ok || json.Valid([]byte(text)) {
			return nil
		}
		return []string{property + ": contains an invalid JSON"}
	}
}
