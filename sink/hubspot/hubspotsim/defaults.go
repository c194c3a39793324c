package hubspotsim

// Schema describes an object type.
type Schema struct {
	// Name is the name in paths, "companies" or "p123_subscriptions".
	Name string
	// TypeID is the other name in paths, "0-2".
	TypeID string
	// Singular is the word in error messages, "COMPANY".
	Singular string
	// Scope is the word in scopes: crm.objects.SCOPE.write.
	Scope string
	// RequiredAny lists properties of which a new record must have one.
	RequiredAny []string
	// Group is the name of the default property group.
	Group      string
	Properties []Property
}

// builtin returns the object types that every portal has.
func builtin() []Schema {
	return []Schema{
		{
			Name: "companies", TypeID: "0-2", Singular: "COMPANY", Scope: "companies", Group: "companyinformation",
			RequiredAny: []string{"name", "domain"}, Properties: companyProperties(),
		},
		{
			Name: "contacts", TypeID: "0-1", Singular: "CONTACT", Scope: "contacts", Group: "contactinformation",
			Properties: contactProperties(),
		},
		{
			Name: "deals", TypeID: "0-3", Singular: "DEAL", Scope: "deals", Group: "dealinformation",
			RequiredAny: []string{"dealname"}, Properties: []Property{
				Text("dealname"), Number("amount"), DateTime("closedate"), Text("pipeline"),
				Enum("dealstage", "appointmentscheduled", "qualifiedtobuy", "contractsent", "closedwon", "closedlost"),
				Text("description"), owner(),
			},
		},
		{
			Name: "tickets", TypeID: "0-5", Singular: "TICKET", Scope: "tickets", Group: "ticketinformation",
			RequiredAny: []string{"subject"}, Properties: []Property{
				Text("subject"), Text("content"), Text("hs_pipeline"), Text("hs_pipeline_stage"), owner(),
				Enum("hs_ticket_priority", "LOW", "MEDIUM", "HIGH", "URGENT"),
			},
		},
		{
			Name: "products", TypeID: "0-7", Singular: "PRODUCT", Scope: "products", Group: "productinformation",
			RequiredAny: []string{"name"}, Properties: []Property{Text("name"), Number("price"), Text("hs_sku"), Text("description")},
		},
		{
			Name: "line_items", TypeID: "0-8", Singular: "LINE_ITEM", Scope: "line_items", Group: "lineiteminformation",
			Properties: []Property{Text("name"), Number("price"), Number("quantity"), Text("hs_product_id")},
		},
	}
}

// systemProperties are those that the portal itself writes on every object.
func systemProperties() []Property {
	merged := ReadOnly("hs_merged_object_ids", "enumeration")
	merged.FieldType, merged.ExternalOptions = "checkbox", true
	created := ReadOnly("createdate", "datetime")
	created.Calculated = false
	return []Property{
		ReadOnly("hs_object_id", "number"), created, ReadOnly("hs_createdate", "datetime"),
		ReadOnly("hs_lastmodifieddate", "datetime"), merged,
	}
}

func owner() Property {
	p := Enum("hubspot_owner_id")
	p.ExternalOptions = true
	return p
}

func lifecycle() Property {
	p := Enum("lifecyclestage", "subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead",
		"opportunity", "customer", "evangelist", "other")
	labels := []string{
		"Subscriber", "Lead", "Marketing Qualified Lead", "Sales Qualified Lead", "Opportunity", "Customer", "Evangelist", "Other",
	}
	for i := range p.Options {
		p.Options[i].Label = labels[i]
	}
	p.FieldType, p.ForwardOnly = "radio", true
	return p
}

func companyProperties() []Property {
	industry := Enum("industry", "ACCOUNTING", "BANKING", "BIOTECHNOLOGY", "COMPUTER_SOFTWARE", "CONSTRUCTION", "EDUCATION_MANAGEMENT",
		"FINANCIAL_SERVICES", "FOOD_BEVERAGES", "HOSPITAL_HEALTH_CARE", "INFORMATION_TECHNOLOGY_AND_SERVICES", "INSURANCE", "INTERNET",
		"LOGISTICS_AND_SUPPLY_CHAIN", "MACHINERY", "MARKETING_AND_ADVERTISING", "OIL_ENERGY", "REAL_ESTATE", "RETAIL", "TELECOMMUNICATIONS", "UTILITIES")
	zip := Text("zip")
	description := Text("description")
	description.FieldType = "textarea"
	phone := Text("phone")
	phone.FieldType = "phonenumber"
	typed := custom("hs_phone_e164", "phone_number", "phonenumber")
	return []Property{
		Text("name"), Text("domain"), Text("website"), phone, typed, Text("address"), Text("address2"), Text("city"),
		Text("state"), zip, Text("country"), description, industry,
		Enum("type", "PROSPECT", "PARTNER", "RESELLER", "VENDOR", "OTHER"), lifecycle(), owner(),
		Number("numberofemployees"), Number("annualrevenue"), Bool("is_public"), Text("founded_year"), Text("timezone"),
		Text("hs_additional_domains"), Text("linkedin_company_page"), Text("twitterhandle"), Text("about_us"),
		Enum("hs_lead_status", "NEW", "OPEN", "IN_PROGRESS", "OPEN_DEAL", "UNQUALIFIED", "CONNECTED"),
		ReadOnly("num_associated_contacts", "number"), ReadOnly("num_associated_deals", "number"),
		ReadOnly("hs_analytics_num_visits", "number"), ReadOnly("days_to_close", "number"),
	}
}

func contactProperties() []Property {
	email := Unique("email")
	return []Property{
		email, Text("firstname"), Text("lastname"), Text("phone"), Text("mobilephone"), Text("company"), Text("jobtitle"),
		Text("website"), Text("city"), Text("country"), lifecycle(), owner(),
		ReadOnly("num_associated_deals", "number"), ReadOnly("hs_analytics_num_visits", "number"),
	}
}
