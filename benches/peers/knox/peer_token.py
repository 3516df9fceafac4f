"""Makes a user of an email and a password, and prints a token of theirs."""

import sys

import django

django.setup()

from django.contrib.auth import get_user_model
from knox.models import AuthToken

user = get_user_model().objects.create_user("ada", *sys.argv[1:])
print(AuthToken.objects.create(user)[1])
