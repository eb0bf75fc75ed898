"""Pure rules: what the answers of Radar prove about its history, its units and our clock."""
