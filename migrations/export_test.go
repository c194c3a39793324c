package migrations

// Script lets tests print migrations of their own.
var Script = script
