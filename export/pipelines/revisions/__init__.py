"""New versions of published models: another resize rule, a temperature."""
