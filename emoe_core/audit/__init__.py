"""The bias audit: which groups of prompts (languages, regions, topics) the models know too little about."""
